/* One picture on the page: a canvas with exactly one dot for each device pixel. */

/**
 * Device pixels of a length in CSS pixels. Only the browser knows on which side a fraction ends up; but Safari does not
 * tell, and where a screen is emulated, Chromium tells the length on the real one.
 */
function dots(css, exact) {
  const product = css * devicePixelRatio;
  return exact !== undefined && Math.abs(exact - product) < 1 ? exact : Math.round(product);
}

export class Panel {
  element = document.createElement("div");
  canvas = document.createElement("canvas");
  bitmap = null;
  /** In device pixels. */
  size = { width: 0, height: 0 };

  constructor(name) {
    this.element.className = "panel";
    this.canvas.setAttribute("role", "img");
    this.name = name;
    this.element.append(this.canvas);
  }

  /** What screen readers call the picture. */
  set name(name) {
    this.canvas.setAttribute("aria-label", name);
  }

  /** Take the size that the browser reports. Returns whether it changed. */
  resize(entry) {
    const css = entry.contentBoxSize[0];
    const exact = entry.devicePixelContentBoxSize?.[0];
    const width = dots(css.inlineSize, exact?.inlineSize);
    const height = dots(css.blockSize, exact?.blockSize);
    if (width === this.size.width && height === this.size.height) return false;
    this.size = { width, height };
    return true;
  }

  draw(view, bitmap) {
    const { canvas, size } = this;
    if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!bitmap) return;
    context.imageSmoothingEnabled = view.zoom < 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, view.x, view.y, view.width, view.height);
  }
}
