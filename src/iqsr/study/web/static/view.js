/* Which part of a picture is seen, and how large. All lengths are device pixels: 1:1 is exact on every screen. */

export const LARGEST_ZOOM = 8;
const STEPS = [1, 2, 3, 4, 6, 8];

export class View {
  frame = { width: 1, height: 1 };
  picture = { width: 1, height: 1 };
  /** Device pixels for a CSS pixel. */
  ratio = 1;
  /** Device pixels for a picture's pixel; a whole number from 1 on, so that all pixels are equally large. */
  zoom = 1;
  /** Where the picture's top left corner is in the frame; whole numbers. */
  x = 0;
  y = 0;
  #wanted = 1; // the zoom before rounding, so that small movements add up
  #rest = { x: 0, y: 0 }; // what movements of less than a pixel add up to
  #fitted = true; // whether the whole picture stays in sight when the frame changes

  /** The zoom at which the whole picture is seen. It is not enlarged beyond one pixel for one CSS pixel. */
  get fitting() {
    const { frame, picture, ratio } = this;
    const fit = Math.min(frame.width / picture.width, frame.height / picture.height);
    return fit < 1 ? fit : Math.min(Math.floor(fit), Math.max(1, Math.floor(ratio)));
  }

  get smallest() {
    return Math.min(this.fitting, 1);
  }

  /** Whether the picture is larger than the frame. */
  get movable() {
    return this.width > this.frame.width || this.height > this.frame.height;
  }

  get width() {
    return Math.round(this.picture.width * this.zoom);
  }

  get height() {
    return Math.round(this.picture.height * this.zoom);
  }

  /** The part of the frame, from left to right, in which there is picture. */
  get span() {
    return { left: Math.max(this.x, 0), right: Math.min(this.x + this.width, this.frame.width) };
  }

  show(picture) {
    this.picture = picture;
    this.fit();
  }

  resize(frame, ratio) {
    const middle = { x: (this.frame.width / 2 - this.x) / this.zoom, y: (this.frame.height / 2 - this.y) / this.zoom };
    this.frame = frame;
    this.ratio = ratio;
    if (this.#fitted) return this.fit();
    this.#set(Math.max(this.zoom, this.smallest));
    this.#place(frame.width / 2 - middle.x * this.zoom, frame.height / 2 - middle.y * this.zoom);
  }

  fit() {
    this.#set(this.fitting);
    this.#place(0, 0);
    this.#fitted = true;
  }

  /** Zoom so that the picture stays where it is at one point of the frame; by default at the middle. */
  zoomTo(zoom, at = { x: this.frame.width / 2, y: this.frame.height / 2 }) {
    const before = this.zoom;
    this.#set(zoom);
    const growth = this.zoom / before;
    this.#place(at.x - (at.x - this.x) * growth, at.y - (at.y - this.y) * growth);
    this.#fitted = this.zoom === this.fitting;
  }

  zoomBy(factor, at) {
    this.zoomTo(this.#wanted * factor, at);
  }

  /** To the next larger (+1) or smaller (-1) usual zoom. */
  step(direction) {
    const steps = [...STEPS, this.fitting].sort((a, b) => a - b);
    const next = direction > 0 ? steps.find((z) => z > this.zoom) : steps.findLast((z) => z < this.zoom);
    if (next !== undefined) this.zoomTo(next);
  }

  moveBy(x, y) {
    this.#rest = { x: this.#rest.x + x, y: this.#rest.y + y };
    const whole = { x: Math.round(this.#rest.x), y: Math.round(this.#rest.y) };
    this.#rest = { x: this.#rest.x - whole.x, y: this.#rest.y - whole.y };
    this.#place(this.x + whole.x, this.y + whole.y);
  }

  #set(zoom) {
    this.#wanted = Math.min(Math.max(zoom, this.smallest), LARGEST_ZOOM);
    this.zoom = this.#snapped(this.#wanted);
  }

  /** Whole numbers from 1:1 on; below it, 1:1 and the fitting zoom attract what comes near. */
  #snapped(zoom) {
    if (zoom >= 1) return Math.round(zoom);
    if (zoom < this.fitting * 1.02) return this.fitting;
    return zoom > 0.95 ? 1 : zoom;
  }

  /** A picture that is smaller than the frame is in its middle; a larger one leaves no margin. */
  #place(x, y) {
    const place = (at, length, room) =>
      length <= room ? Math.floor((room - length) / 2) : Math.round(Math.min(Math.max(at, room - length), 0));
    this.x = place(x, this.width, this.frame.width);
    this.y = place(y, this.height, this.frame.height);
  }
}
