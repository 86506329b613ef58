/* Two pictures at one place, one at a time. */

import { Mode } from "./mode.js";

const HOLD_MS = 350; // pressed longer, the other picture is seen only as long as the press lasts

export class Flicker extends Mode {
  names = ["A", "B"];
  keys = ["A", "B"];
  ways = [
    "Two pictures, A and B, take turns at one place.",
    "Press Space or tap the picture to see the other one; hold it down to see the other one only for that long.",
    "You can answer once you have seen both.",
  ].join(" ");
  hint = "Press Space or tap to see the other picture";
  buttons = ["toggle"];
  #badge = document.getElementById("badge");
  #shown = 0;
  #seen = new Set();
  #held = { since: 0, timer: 0, key: false };

  constructor(viewer) {
    super(viewer);
    this.#badge.hidden = false;
    document.getElementById("toggle").onclick = () => this.toggle();
    addEventListener("keyup", (event) => {
      if (event.key !== " " || !this.#held.key) return;
      this.#held.key = false;
      if (performance.now() - this.#held.since > HOLD_MS) this.toggle();
    });
    addEventListener("blur", () => (this.#held.key = false));
  }

  get seen() {
    return this.#seen.size === 2;
  }

  reset() {
    this.#shown = 0;
    this.#seen.clear();
    this.#held.key = false;
  }

  toggle() {
    if (!this.viewer.ready || this.viewer.showsInput) return;
    this.#shown = 1 - this.#shown;
    this.viewer.redraw();
    this.viewer.say(`Picture ${this.names[this.#shown]}`);
  }

  drawn() {
    this.viewer.panels.forEach((panel, index) => {
      panel.element.classList.toggle("covered", index !== this.#shown);
      panel.canvas.ariaHidden = String(index !== this.#shown);
    });
    this.#badge.textContent = this.names[this.#shown];
    if (!this.viewer.ready || this.#seen.has(this.#shown)) return;
    this.#seen.add(this.#shown);
    this.viewer.changed();
  }

  press() {
    this.#held.timer = setTimeout(() => {
      this.#held.timer = 0;
      this.#held.finger = true;
      this.toggle();
    }, HOLD_MS);
  }

  dragged() {
    clearTimeout(this.#held.timer);
  }

  release(_point, still) {
    clearTimeout(this.#held.timer);
    if (this.#held.finger || (still && this.#held.timer)) this.toggle();
    this.#held.finger = false;
  }

  get shortcuts() {
    const press = (event) => {
      if (event.repeat) return;
      this.#held = { ...this.#held, key: true, since: performance.now() };
      this.toggle();
    };
    return [{ keys: [" "], shown: "Space", text: "See the other picture; hold to see it only so long", run: press }];
  }
}
