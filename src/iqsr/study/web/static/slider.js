/* Two pictures at one place, the left one up to a divider, the right one behind it. */

import { Mode } from "./mode.js";

const REACH_PX = { mouse: 16, pen: 24, touch: 32 }; // so near a drag takes the divider, not the picture
const KEY_STEP = 2;

export class Slider extends Mode {
  ways = [
    "Two pictures lie in one frame: left of the line is the left picture, right of it the right one.",
    "Drag the line, or use the arrow keys.",
    "Zoom in with the wheel, two fingers or the + key; drag beside the line to look around.",
  ].join(" ");
  #input = document.getElementById("split");
  #divider = document.getElementById("divider");

  constructor(viewer) {
    super(viewer);
    this.#input.hidden = this.#divider.hidden = false;
    this.#input.addEventListener("input", () => viewer.redraw());
  }

  get focused() {
    return this.#input;
  }

  reset() {
    this.#set(50);
  }

  drawn() {
    const { view, panels, stage } = this.viewer;
    const { left, right } = view.span;
    const share = Number(this.#input.value);
    const at = Math.round(left + ((right - left) * share) / 100) / view.ratio; // on a device pixel's edge
    stage.style.setProperty("--split", `${at}px`);
    panels[0].element.classList.add("cut");
    this.#input.ariaValueText = `${Math.round(share)} % left picture`;
  }

  grab(point) {
    const { view } = this.viewer;
    const near = Math.abs(this.#place(point) - Number(this.#input.value)) / 100;
    const near_px = (near * (view.span.right - view.span.left)) / view.ratio;
    return !view.movable || near_px < (REACH_PX[point.type] ?? REACH_PX.mouse) ? "divide" : "move";
  }

  divide(point) {
    this.#set(this.#place(point));
  }

  arrow(x, y) {
    this.#set(Number(this.#input.value) + KEY_STEP * (x || -y));
    return true;
  }

  get shortcuts() {
    return [{ shown: "← →", text: "Move the line" }];
  }

  #place(point) {
    const { view } = this.viewer;
    const { left, right } = view.span;
    return (100 * (this.viewer.locate(point).x - left)) / Math.max(right - left, 1);
  }

  #set(value) {
    this.#input.value = Math.min(Math.max(value, 0), 100);
    this.viewer.redraw();
  }
}
