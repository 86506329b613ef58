/* What all ways to show pictures have in common. */

export class Mode {
  /** What the pictures are called on buttons; "left" makes "left picture". */
  names = ["left", "right"];
  /** The keys that choose them. */
  keys = ["L", "R"];
  /** One sentence for raters. */
  ways = "";
  /** What raters are told until they have seen all pictures. */
  hint = "";
  /** Buttons of the view that this mode has besides zoom. */
  buttons = [];

  constructor(viewer) {
    this.viewer = viewer;
  }

  /** Whether the rater has seen all pictures and may answer. */
  get seen() {
    return true;
  }

  /** What takes the focus when pictures appear. */
  get focused() {
    return this.viewer.stage;
  }

  /** A new trial begins. */
  reset() {}
  /** The stage has another size. */
  arrange() {}
  /** Called after the pictures are drawn. */
  drawn() {}
  /** What a drag that starts there does: "move" the pictures or "divide" them. */
  grab() {
    return "move";
  }
  divide() {}
  press() {}
  dragged() {}
  release() {}
  /** An arrow key without Shift. Returns whether it did something. */
  arrow() {
    return false;
  }
  /** Further keys: [{keys, text, run}]. */
  get shortcuts() {
    return [];
  }
}

export class Side extends Mode {
  ways = [
    "Two pictures are next to each other.",
    "Zoom in with the wheel, two fingers or the + key, and drag to look around: both move together.",
  ].join(" ");
}
