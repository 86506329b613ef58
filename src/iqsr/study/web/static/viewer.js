/* The stage: the pictures of one trial, all seen at the same zoom and the same place. */

import { Flicker } from "./flicker.js";
import { listen } from "./gestures.js";
import { Grid } from "./grid.js";
import { Side } from "./mode.js";
import { Panel } from "./panel.js";
import { Slider } from "./slider.js";
import { View } from "./view.js";

const MODES = { slider: Slider, side: Side, flicker: Flicker, "best-of-n": Grid };
const KEY_MOVE_PX = 80;

export class Viewer {
  stage = document.getElementById("stage");
  view = new View();
  panels = [];
  mode = null;
  /** Whether pictures are seen. */
  ready = false;
  /** Whether the input is seen in place of the pictures. */
  showsInput = false;
  #input = null;
  #holder = document.getElementById("panels");
  #planned = 0;
  #stageObserver = new ResizeObserver(() => this.mode?.arrange());
  #observer = new ResizeObserver((entries) => this.#resized(entries));

  /** Called with: say(text) for screen readers, changed() when zoom or what was seen changed, choose(index). */
  constructor({ say, changed, choose }) {
    Object.assign(this, { say, changed, choose });
    listen(this.stage, this);
    this.#stageObserver.observe(this.stage);
  }

  /** Set the stage for so many pictures. */
  furnish(name, count) {
    this.stage.dataset.mode = name;
    this.mode = new MODES[name](this, count);
    this.#observer.disconnect();
    this.panels = this.mode.names.map((called) => new Panel(`${called} picture`));
    this.#holder.replaceChildren(...this.panels.map((panel) => panel.element));
    this.mode.furnish?.(this.panels);
    for (const panel of this.panels) {
      try {
        this.#observer.observe(panel.canvas, { box: "device-pixel-content-box" });
      } catch {
        this.#observer.observe(panel.canvas);
      }
    }
  }

  /** Take the pictures away: nothing is seen. */
  clear() {
    this.ready = false;
    this.stage.classList.remove("ready");
    for (const panel of this.panels) panel.bitmap = null;
    this.#input = null;
    this.#turnTo(false);
    this.#draw();
  }

  /** Show the pictures, all in one frame of the screen. A bitmap more is the input. Resolves once they are seen. */
  async show(bitmaps, picture) {
    this.panels.forEach((panel, index) => (panel.bitmap = bitmaps[index]));
    this.#input = bitmaps[this.panels.length] ?? null;
    this.view.show(picture);
    this.ready = true;
    this.mode.reset();
    this.#draw();
    this.stage.classList.add("ready");
    this.changed();
    // The first callback comes before the pictures are painted, the second after it.
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  }

  /** See the input in place of all pictures, at the same zoom and place; or the pictures again. */
  toggleInput() {
    if (!this.ready || !this.#input) return;
    this.#turnTo(!this.showsInput);
    this.#draw();
    this.say(this.showsInput ? "The input" : "The pictures");
    this.changed();
  }

  redraw() {
    if (this.#planned) return;
    this.#planned = requestAnimationFrame(() => {
      this.#planned = 0;
      this.#draw();
    });
  }

  /** A point of the page, in device pixels of the picture's frame there. */
  locate(point) {
    const boxes = this.panels.map((panel) => panel.canvas.getBoundingClientRect());
    const inside = (box) => point.x >= box.left && point.x < box.right && point.y >= box.top && point.y < box.bottom;
    const box = boxes.find(inside) ?? boxes[0];
    return { x: (point.x - box.left) * this.view.ratio, y: (point.y - box.top) * this.view.ratio };
  }

  /* Zoom and place, from buttons and keys. */
  fit() {
    this.#look(() => this.view.fit());
  }
  oneToOne() {
    this.#look(() => this.view.zoomTo(1));
  }
  step(direction) {
    this.#look(() => this.view.step(direction));
  }
  arrow(x, y, shift) {
    if (!shift && !this.showsInput && this.mode.arrow(x, y)) return;
    this.#look(() => this.view.moveBy(-x * KEY_MOVE_PX * this.view.ratio, -y * KEY_MOVE_PX * this.view.ratio));
  }

  /* Gestures. */
  grab(point) {
    return this.showsInput ? "move" : this.mode.grab(point);
  }
  divide(point) {
    if (this.ready) this.mode.divide(point);
  }
  move(dx, dy) {
    this.mode.dragged();
    this.#look(() => this.view.moveBy(dx * this.view.ratio, dy * this.view.ratio));
  }
  zoom(factor, point) {
    this.#look(() => this.view.zoomBy(factor, this.locate(point)));
  }
  press(point) {
    if (this.ready && !this.showsInput) this.mode.press(point);
  }
  release(point, still) {
    this.mode.release(point, still && this.ready && !this.showsInput);
  }

  #turnTo(input) {
    this.showsInput = input;
    this.stage.classList.toggle("input", input);
    this.panels.forEach((panel, index) => (panel.name = input ? "input" : `${this.mode.names[index]} picture`));
  }

  #look(change) {
    if (!this.ready) return;
    const before = this.view.zoom;
    change();
    this.redraw();
    if (this.view.zoom !== before) this.changed();
  }

  #resized(entries) {
    let changed = false;
    for (const entry of entries) {
      const panel = this.panels.find((one) => one.canvas === entry.target);
      if (panel?.resize(entry)) changed = true;
    }
    const seen = this.panels.filter((panel) => panel.size.width > 0);
    if (!changed || seen.length === 0) return;
    const frame = {
      width: Math.min(...seen.map((panel) => panel.size.width)),
      height: Math.min(...seen.map((panel) => panel.size.height)),
    };
    this.view.resize(frame, devicePixelRatio);
    this.#draw();
    this.changed();
  }

  #draw() {
    for (const panel of this.panels) panel.draw(this.view, this.showsInput ? this.#input : panel.bitmap);
    this.stage.classList.toggle("movable", this.view.movable);
    this.mode?.drawn();
  }
}
