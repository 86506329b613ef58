/* <before-after>: two of several pictures under one divider. Without this script the page shows both halves, still. */
class BeforeAfter extends HTMLElement {
  connectedCallback() {
    this.stage = this.querySelector(".stage");
    this.layers = [...this.querySelectorAll(".layer")];
    this.split = this.querySelector(".split");
    this.picks = { left: this.querySelector(".pick-left"), right: this.querySelector(".pick-right") };
    this.zoom = 1;
    this.origin = { x: 0, y: 0 }; // top left corner of what is seen, as a share of the picture
    this.shown = { left: this.picks.left.value, right: this.picks.right.value };

    this.split.addEventListener("input", () => this.draw());
    this.split.addEventListener("keydown", (event) => this.onKey(event));
    for (const side of ["left", "right"]) this.picks[side].addEventListener("change", () => this.pick(side));
    for (const radio of this.querySelectorAll(".zoom input"))
      radio.addEventListener("change", () => this.setZoom(Number(radio.value)));
    this.stage.addEventListener("pointerdown", (event) => this.onPointerDown(event));
    this.stage.addEventListener("pointermove", (event) => this.onPointerMove(event));
    for (const end of ["pointerup", "pointercancel"]) this.stage.addEventListener(end, () => this.release());
    this.draw();
  }

  /* Choosing what the other side shows swaps the sides. */
  pick(side) {
    const other = side === "left" ? "right" : "left";
    if (this.picks[side].value === this.picks[other].value) this.picks[other].value = this.shown[side];
    this.shown = { left: this.picks.left.value, right: this.picks.right.value };
    this.draw();
  }

  setZoom(zoom) {
    const middle = { x: this.origin.x + 0.5 / this.zoom, y: this.origin.y + 0.5 / this.zoom };
    this.zoom = zoom;
    this.stage.classList.toggle("zoomed", zoom > 1);
    this.look(middle.x - 0.5 / zoom, middle.y - 0.5 / zoom);
  }

  /* Put the top left corner of the view there, as far as the picture reaches. */
  look(x, y) {
    const limit = 1 - 1 / this.zoom;
    this.origin = { x: Math.min(Math.max(x, 0), limit), y: Math.min(Math.max(y, 0), limit) };
    this.draw();
  }

  onKey(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!event.shiftKey || !step) return;
    event.preventDefault();
    this.look(this.origin.x + (step[0] * 0.1) / this.zoom, this.origin.y + (step[1] * 0.1) / this.zoom);
  }

  onPointerDown(event) {
    if (event.button !== 0 || event.target.closest("select")) return;
    const box = this.stage.getBoundingClientRect();
    const distance = Math.abs(event.clientX - box.left - (box.width * this.split.value) / 100);
    this.drag = this.zoom === 1 || distance < 24 ? "dragging" : "panning";
    this.from = { x: event.clientX, y: event.clientY, origin: this.origin };
    this.stage.setPointerCapture(event.pointerId);
    this.stage.classList.add(this.drag);
    if (event.pointerType === "mouse") {
      event.preventDefault(); // no selection; and the keyboard goes on where the mouse stopped:
      this.split.focus({ preventScroll: true, focusVisible: false });
      this.onPointerMove(event); // a finger may be about to scroll the page: it moves the divider once it moves
    }
  }

  onPointerMove(event) {
    if (!this.drag) return;
    const box = this.stage.getBoundingClientRect();
    if (this.drag === "dragging") {
      this.split.value = (100 * (event.clientX - box.left)) / box.width;
      this.draw();
    } else {
      const { x, y, origin } = this.from;
      const scale = { x: box.width * this.zoom, y: box.height * this.zoom };
      this.look(origin.x - (event.clientX - x) / scale.x, origin.y - (event.clientY - y) / scale.y);
    }
  }

  release() {
    this.stage.classList.remove("dragging", "panning");
    this.drag = null;
  }

  draw() {
    const { left, right } = this.shown;
    const names = { left: this.layers[left].dataset.name, right: this.layers[right].dataset.name };
    this.stage.style.setProperty("--split", this.split.value);
    this.split.ariaLabel = `Divider between ${names.left} and ${names.right}`;
    this.split.ariaValueText = `${this.split.value} % ${names.left}`;
    this.layers.forEach((layer, index) => {
      layer.classList.toggle("on-left", String(index) === left);
      layer.classList.toggle("on-right", String(index) === right);
      layer.firstElementChild.style.transform =
        `scale(${this.zoom}) translate(${-100 * this.origin.x}%, ${-100 * this.origin.y}%)`;
    });
    for (const side of ["left", "right"]) {
      this.querySelector(`.caption-${side} b`).textContent = names[side];
      this.querySelector(`.caption-${side} span`).textContent = this.layers[this.shown[side]].dataset.caption;
    }
  }
}
customElements.define("before-after", BeforeAfter);
