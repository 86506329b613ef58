/* Both ends of the images in the order of the difference between two models. */
const MOST = 6;

class Extremes {
  constructor(data) {
    this.data = data;
    this.picks = ["model", "other", "metric"].map((name) => document.getElementById(`extremes-${name}`));
    for (const pick of this.picks) pick.addEventListener("change", () => this.draw());
    this.draw();
  }

  draw() {
    const [model, other, metric] = this.picks.map((pick) => Number(pick.value));
    const { images, metrics, scores, models } = this.data;
    const sign = metrics[metric].higher ? 1 : -1;
    const found = images
      .map((name, n) => ({ name, n, a: scores[metric][model][n], b: scores[metric][other][n] }))
      .filter((image) => image.a !== null && image.b !== null)
      .sort((p, q) => sign * (p.a - p.b - q.a + q.b));
    const count = Math.min(MOST, Math.floor(found.length / 2) || found.length);
    const ends = { worst: found.slice(0, count), best: found.slice(-count).reverse() };
    for (const [end, shown] of Object.entries(ends)) {
      document.getElementById(`end-${end}`).textContent = `${end === "best" ? "Best" : "Worst"} for ${models[model]}`;
      document.getElementById(`extremes-${end}`).replaceChildren(...shown.map((image) => this.card(image, model, other, metric)));
    }
    const better = found.filter((image) => sign * (image.a - image.b) > 0).length;
    const worse = found.filter((image) => sign * (image.a - image.b) < 0).length;
    document.getElementById("extremes-said").textContent =
      `By ${metrics[metric].name}, ${models[model]} is better than ${models[other]} on ${better} images, worse on ${worse}, equal on ${found.length - better - worse}.`;
  }

  card(image, model, other, metric) {
    const { models, metrics, details } = this.data;
    const digits = metrics[metric].decimals;
    const difference = image.a - image.b;
    const better = metrics[metric].higher ? difference : -difference;
    const verdict = better > 0 ? ", better" : better < 0 ? ", worse" : "";
    const item = document.createElement("li");
    const head = item.appendChild(document.createElement("p"));
    head.appendChild(document.createElement("b")).textContent = image.name;
    head.appendChild(document.createElement("span")).textContent = `${metrics[metric].name} ${signed(difference, digits)}${verdict}`;
    const row = item.appendChild(document.createElement("div"));
    row.className = "triple";
    const shown = details[image.n] ?? {};
    this.detail(row, shown[other], image.name, `${models[other]} ${image.b.toFixed(digits)}`);
    this.detail(row, shown[model], image.name, `${models[model]} ${image.a.toFixed(digits)}`);
    if (shown.original) this.detail(row, shown.original, image.name, "original");
    return item;
  }

  detail(row, uri, image, text) {
    const figure = row.appendChild(document.createElement("figure"));
    if (uri) {
      const picture = figure.appendChild(document.createElement("img"));
      picture.src = uri;
      picture.alt = `${image}, detail, ${text}`;
    }
    figure.appendChild(document.createElement("figcaption")).textContent = text;
  }
}

function signed(value, digits) {
  const sign = value > 0 ? "+" : value < 0 ? "−" : "";
  return sign + Math.abs(value).toFixed(digits);
}
