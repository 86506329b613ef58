/* All pictures of a scene at once; each can take the whole stage. */

import { Mode } from "./mode.js";

export class Grid extends Mode {
  ways = [
    "Choose the best of all pictures: click it, or press its digit.",
    "The corner button shows one picture large; with the arrow keys you change between large pictures.",
    "Zoom in with the wheel, two fingers or the + key, and drag to look around: all pictures move together.",
  ].join(" ");
  buttons = ["all"];
  #large = null; // index of the picture that takes the stage
  #all = document.getElementById("all");

  constructor(viewer, count) {
    super(viewer);
    this.names = Array.from({ length: count }, (_, index) => String(index + 1));
    this.keys = count <= 9 ? this.names : [];
    this.#all.onclick = () => this.enlarge(null);
  }

  /** Called once the panels are there: what stands above each picture. */
  furnish(panels) {
    panels.forEach((panel, index) => {
      const head = document.createElement("div");
      head.className = "panel-head";
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "⤢";
      button.ariaLabel = `Show picture ${this.names[index]} large`;
      button.addEventListener("click", () => this.enlarge(this.#large === null ? index : null));
      head.append(this.names[index], button);
      panel.element.prepend(head);
    });
  }

  /** As many columns as make the pictures largest. */
  arrange() {
    const { stage, panels, view } = this.viewer;
    const size = (columns) => {
      const rows = Math.ceil(panels.length / columns);
      return Math.min(stage.clientWidth / columns / view.picture.width, stage.clientHeight / rows / view.picture.height);
    };
    const all = panels.map((_, index) => index + 1);
    const best = all.reduce((one, other) => (size(other) > size(one) ? other : one));
    stage.style.setProperty("--columns", best);
  }

  reset() {
    this.arrange();
    this.enlarge(null);
  }

  enlarge(index) {
    const { panels, stage } = this.viewer;
    this.#large = index;
    stage.classList.toggle("enlarged", index !== null);
    this.#all.disabled = index === null;
    panels.forEach((panel, i) => (panel.element.hidden = index !== null && i !== index));
    if (index !== null) this.viewer.say(`Picture ${this.names[index]}`);
  }

  /** A click on a small picture chooses it; on a large one, only the buttons do. */
  release(point, still) {
    if (!still || this.#large !== null) return;
    const chosen = this.viewer.panels.findIndex((panel) => {
      const box = panel.canvas.getBoundingClientRect();
      return point.x >= box.left && point.x < box.right && point.y >= box.top && point.y < box.bottom;
    });
    if (chosen >= 0) this.viewer.choose(chosen);
  }

  arrow(x, y) {
    if (this.#large === null) return false;
    const count = this.names.length;
    this.enlarge((this.#large + (x || y) + count) % count);
    return true;
  }

  get shortcuts() {
    const toggle = () => this.enlarge(this.#large === null ? 0 : null);
    return [
      { keys: ["e"], shown: "E", text: "Show a picture large, or all again", run: toggle },
      { keys: ["Escape"], shown: "Esc", text: "Show all pictures", run: () => this.enlarge(null) },
      { shown: "← →", text: "Another large picture" },
    ];
  }
}
