/* Means of one metric against those of another, drawn anew for each choice and width. */
const MARKS = [
  "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0", "M-5.5 -5.5h11v11h-11z", "M0 -7L6.5 5h-13z", "M0 -7.5L7 0L0 7.5L-7 0z",
  "M0 7L6.5 -5h-13z", "M-2 -6.5h4v4.5h4.5v4h-4.5v4.5h-4v-4.5h-4.5v-4h4.5z", "M-6 -6L0 -2L6 -6L2 0L6 6L0 2L-6 6L-2 0z",
  "M0 -7L6.7 -2.2L4.1 5.7H-4.1L-6.7 -2.2z",
];

class Scatter {
  constructor(data) {
    this.data = data;
    this.plot = document.getElementById("scatter-plot");
    this.x = document.getElementById("scatter-x");
    this.y = document.getElementById("scatter-y");
    this.images = document.getElementById("scatter-images");
    for (const control of [this.x, this.y, this.images]) control.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.plot.parentElement);
  }

  draw() {
    const width = Math.max(280, this.plot.parentElement.clientWidth);
    const height = Math.min(460, Math.max(320, width * 0.5));
    if (!this.plot.parentElement.clientWidth) return;
    this.size = { left: 58, right: width - 14, top: 12, bottom: height - 46, width, height };
    const [x, y] = [Number(this.x.value), Number(this.y.value)];
    const points = this.points(x, y);
    this.plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.plot.replaceChildren();
    if (!points.length) {
      document.getElementById("scatter-said").textContent = "No model has both.";
      return;
    }
    const values = (axis) => points.flatMap((p) => [...p[axis].ends, ...(this.images.checked ? p.images.map((i) => i[axis]) : [])]);
    this.scale = { x: this.axis(values("x"), x, "x"), y: this.axis(values("y"), y, "y") };
    this.drawAxes(x, y);
    if (this.images.checked) for (const p of points) this.drawImages(p);
    for (const p of points) this.drawModel(p);
    this.drawNames(points);
    this.tell(points, x, y);
  }

  /* Models that have both metrics; the interval where there is one. */
  points(x, y) {
    const { models, means, scores, images } = this.data;
    const mean = (metric, model) => {
      const [value, low, high] = means[metric][model];
      return { value, ends: [low ?? value, high ?? value] };
    };
    return models
      .map((model, at) => ({ name: model, style: at, x: mean(x, at), y: mean(y, at), images:
        images.map((name, n) => ({ name, x: scores[x][at][n], y: scores[y][at][n] })).filter((i) => i.x !== null && i.y !== null) }))
      .filter((point) => point.x.value !== null && point.y.value !== null);
  }

  axis(values, metric, which) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
    const [from, to] = [low - room, high + room];
    const { left, right, top, bottom } = this.size;
    let [start, end] = which === "x" ? [left, right] : [bottom, top];
    if (!this.data.metrics[metric].higher) [start, end] = [end, start];
    return { from, to, at: (v) => start + ((v - from) / (to - from)) * (end - start) };
  }

  drawAxes(x, y) {
    const { left, right, top, bottom, width, height } = this.size;
    for (const tick of ticks(this.scale.x, width < 500 ? 4 : 7)) {
      const at = this.scale.x.at(tick);
      this.add("path", { class: "grid", d: `M${at} ${top}V${bottom}` });
      this.add("text", { x: at, y: bottom + 16, "text-anchor": "middle" }, number(tick));
    }
    for (const tick of ticks(this.scale.y, 5)) {
      const at = this.scale.y.at(tick);
      this.add("path", { class: "grid", d: `M${left} ${at}H${right}` });
      this.add("text", { x: left - 7, y: at + 4, "text-anchor": "end" }, number(tick));
    }
    this.add("text", { class: "axis", x: right, y: height - 8, "text-anchor": "end" }, `${this.data.metrics[x].name}: better →`);
    this.add("text", { class: "axis", transform: `translate(13 ${top}) rotate(-90)`, "text-anchor": "end" }, `${this.data.metrics[y].name}: better →`);
  }

  drawImages(point) {
    const group = this.add("g", { class: `c${point.style % 8}` });
    for (const image of point.images) {
      const spot = this.add("circle", { class: "spot", cx: this.scale.x.at(image.x), cy: this.scale.y.at(image.y), r: 3 }, "", group);
      this.add("title", {}, `${image.name}, ${point.name}`, spot);
    }
  }

  drawModel(point) {
    const [x, y] = [this.scale.x.at(point.x.value), this.scale.y.at(point.y.value)];
    const group = this.add("g", { class: `c${point.style % 8}` });
    const [left, right] = point.x.ends.map(this.scale.x.at);
    const [low, high] = point.y.ends.map(this.scale.y.at);
    this.add("path", { class: "error", d: `M${left} ${y}H${right}M${x} ${low}V${high}` }, "", group);
    this.add("path", { class: "point", d: MARKS[point.style % 8], transform: `translate(${x} ${y})` }, "", group);
  }

  /* Beside the points; those that would cover one another move down. */
  drawNames(points) {
    const placed = points.map((p) => ({ x: this.scale.x.at(p.x.value), y: this.scale.y.at(p.y.value) - 8, name: p.name }));
    placed.sort((a, b) => a.y - b.y);
    const taken = placed.map((p) => ({ y: p.y + 8, start: p.x - 9, end: p.x + 9 }));
    for (const label of placed) {
      const length = label.name.length * 6.6;
      const isLeft = label.x + 12 + length > this.size.right;
      const start = isLeft ? label.x - 12 - length : label.x + 12;
      const own = taken.find((t) => t.y === label.y + 8 && t.start === label.x - 9);
      while (taken.some((t) => t !== own && Math.abs(t.y - label.y) < 13 && start < t.end && t.start < start + length)) label.y += 3;
      taken.push({ y: label.y, start, end: start + length });
      const anchor = isLeft ? "end" : "start";
      this.add("text", { class: "name", x: label.x + (isLeft ? -12 : 12), y: label.y + 4, "text-anchor": anchor }, label.name);
    }
  }

  tell(points, x, y) {
    const [a, b] = [this.data.metrics[x].name, this.data.metrics[y].name];
    const said = points.map((p) => `${p.name}: ${a} ${number(p.x.value)}, ${b} ${number(p.y.value)}`).join("; ");
    this.plot.setAttribute("aria-label", `Scatter plot. ${said}`);
    document.getElementById("scatter-said").textContent = `${said}.`;
  }

  add(name, attributes, text = "", parent = this.plot) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return parent.appendChild(made);
  }
}

/* About so many round numbers inside an axis. */
function ticks({ from, to }, about) {
  const rough = (to - from) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) found.push(tick);
  return found;
}

function number(value) {
  return String(Number(value.toPrecision(4)));
}
