/* Mouse, pen, fingers and wheel on the stage: what was meant, in CSS pixels of the page. */

const STILL_PX = 4; // a press that moves less is not a drag
const WHEEL_NOTCH_PX = 240; // so much scrolling doubles the zoom

/**
 * Tell `target` about gestures on `stage`:
 *   grab(point) -> "divide" or "move": what a drag from there does
 *   divide(point), move(dx, dy), zoom(factor, point)
 *   press(point), release(point, still): one pointer down and up again; still: it was no drag
 */
export function listen(stage, target) {
  const pointers = new Map();
  let drag = null;
  let spread = 0;

  const point = (event) => ({ x: event.clientX, y: event.clientY, type: event.pointerType });
  const middle = () => {
    const [a, b] = pointers.values();
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };
  const distance = () => {
    const [a, b] = pointers.values();
    return Math.hypot(a.x - b.x, a.y - b.y);
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button")) return;
    pointers.set(event.pointerId, point(event));
    stage.setPointerCapture(event.pointerId);
    if (event.pointerType === "mouse") event.preventDefault(); // no selection
    if (pointers.size === 1) {
      drag = { does: target.grab(point(event)), from: point(event), last: point(event), moved: false };
      target.press(point(event));
      if (drag.does === "divide" && event.pointerType === "mouse") target.divide(point(event));
    } else if (pointers.size === 2) {
      drag = { does: "pinch", last: middle(), moved: true };
      spread = distance();
    }
  });

  stage.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId) || !drag) return;
    pointers.set(event.pointerId, point(event));
    if (drag.does === "pinch") {
      if (pointers.size !== 2) return;
      const [at, apart] = [middle(), distance()];
      if (spread > 0) target.zoom(apart / spread, at);
      target.move(at.x - drag.last.x, at.y - drag.last.y);
      drag.last = at;
      spread = apart;
      return;
    }
    const at = point(event);
    drag.moved ||= Math.hypot(at.x - drag.from.x, at.y - drag.from.y) > STILL_PX;
    if (drag.does === "divide") target.divide(at);
    else if (drag.moved) target.move(at.x - drag.last.x, at.y - drag.last.y);
    if (drag.moved || drag.does === "divide") drag.last = at;
    stage.classList.toggle("moving", drag.does === "move" && drag.moved);
  });

  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (pointers.size > 0) {
      drag = null; // the finger that is left does nothing: whoever ends a pinch does not mean to drag
      return;
    }
    if (drag && drag.does !== "pinch") target.release(point(event), !drag.moved && event.type === "pointerup");
    drag = null;
    stage.classList.remove("moving");
  };
  for (const type of ["pointerup", "pointercancel"]) stage.addEventListener(type, end);

  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      // A pinch on a touchpad arrives as a wheel with Ctrl, in small steps.
      const scrolled = event.deltaY * lines * (event.ctrlKey ? 6 : 1);
      target.zoom(2 ** (-scrolled / WHEEL_NOTCH_PX), point(event));
    },
    { passive: false },
  );
}
