/* Tables: a press on a column's head puts its best first, another one its worst. Published rows stay below ours. */
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) =>
    head.firstElementChild.addEventListener("click", () => {
      const first = head.dataset.better === "higher" ? "descending" : "ascending";
      const second = first === "descending" ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? second : first;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      for (const body of table.tBodies) sortRows(body, column, order === "ascending" ? 1 : -1);
    }),
  );
}

function sortRows(body, column, sign) {
  const rows = [...body.rows].filter((row) => !row.classList.contains("origin"));
  const key = (row) => (column ? parseFloat(row.cells[column].dataset.value) : row.cells[0].textContent);
  rows.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (!column) return sign * x.localeCompare(y);
    return Number.isNaN(x) - Number.isNaN(y) || sign * (x - y); // without a value: last, either way
  });
  body.append(...rows);
}
