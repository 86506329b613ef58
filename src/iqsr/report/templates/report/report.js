/* What the page's data are for. */
const DATA = JSON.parse(document.getElementById("data").textContent);
if (document.getElementById("scatter-plot")) new Scatter(DATA);
if (document.getElementById("extremes-model")) new Extremes(DATA);
