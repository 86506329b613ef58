/* The step in which pictures are compared: one trial after the other, until the server says that it was the last. */

import { Answers } from "./answers.js";
import { newKey, Refused } from "./api.js";
import { Keyboard } from "./keyboard.js";
import { outbox } from "./outbox.js";
import { Pictures } from "./pictures.js";
import { Viewer } from "./viewer.js";

const PAUSE_MS = 250; // grey between two trials, so that a new one is seen to be new
const INPUT_WAYS = "The button for the input shows the small picture that the pictures were made from.";
const INPUT_HINT = "The input. Go back to the pictures to answer.";

const element = (id) => document.getElementById(id);

export class Rating {
  #api;
  #pictures;
  #viewer;
  #keyboard;
  #answers = new Answers((choice, strength) => this.#answer(choice, strength));
  #state = null;
  #since = 0; // when the trial's pictures appeared
  #sending = false;
  #furnished = "";

  /** say(text): to screen readers. onState(state): where the rater is now. onError(error). */
  constructor(api, { say, onState, onError, openHelp }) {
    Object.assign(this, { say, onState, onError, openHelp });
    this.#api = api;
    this.#pictures = new Pictures(api);
    this.#viewer = new Viewer({ say, changed: () => this.#refresh(), choose: (index) => this.#answers.choose(index) });
    this.#keyboard = new Keyboard({
      arrow: (x, y, shift) => this.#viewer.arrow(x, y, shift),
      active: () => this.#state !== null,
    });
    element("zoom-in").addEventListener("click", () => this.#viewer.step(1));
    element("zoom-out").addEventListener("click", () => this.#viewer.step(-1));
    element("zoom-fit").addEventListener("click", () => this.#viewer.fit());
    element("zoom-one").addEventListener("click", () => this.#viewer.oneToOne());
    element("input").addEventListener("click", () => this.#viewer.toggleInput());
    element("undo").addEventListener("click", () => this.undo());
    for (const place of document.querySelectorAll(".tools, .stage"))
      place.addEventListener("click", (event) => this.#focusAfter(event));
  }

  /** What raters are told about the way pictures are shown. */
  furnish(state) {
    const count = state.trial?.pictures.length ?? 2;
    const input = Boolean(state.trial?.input);
    const furnished = `${state.mode} ${count} ${input}`;
    if (furnished !== this.#furnished) {
      this.#viewer.furnish(state.mode, count);
      this.#answers.furnish(this.#viewer.mode, state);
      this.#keyboard.set(this.#shortcuts(input));
      element("input").hidden = !input;
      for (const id of ["toggle", "all"]) element(id).hidden = !this.#viewer.mode.buttons.includes(id);
    }
    this.#furnished = furnished;
    return input ? `${this.#viewer.mode.ways} ${INPUT_WAYS}` : this.#viewer.mode.ways;
  }

  /** Show the trial that is open. */
  async show(state) {
    const first = this.#state === null;
    const same = this.#viewer.ready && this.#state?.trial.id === state.trial.id;
    this.#state = state;
    this.furnish(state);
    this.#progress();
    this.#pictures.keepOnly([state.trial, state.next]);
    if (same) return this.#refresh();
    this.#viewer.clear();
    this.#since = 0;
    this.#refresh();
    element("waiting").hidden = false;
    const pause = new Promise((resolve) => setTimeout(resolve, first ? 0 : PAUSE_MS));
    const [bitmaps] = await Promise.all([this.#pictures.load(state.trial), pause]);
    if (this.#state?.trial.id !== state.trial.id) return;
    element("waiting").hidden = true;
    await this.#viewer.show(bitmaps, { width: state.trial.width, height: state.trial.height });
    this.#since = performance.now();
    this.#focusPictures();
    this.say(`${state.answered + 1} of ${state.total}`);
    if (state.next) this.#pictures.load(state.next).catch(() => {}); // shown again when it is its turn
  }

  /** Another step has come. */
  leave() {
    this.#state = null;
    this.#viewer.clear();
    this.#pictures.keepOnly([]);
  }

  async undo() {
    if (this.#sending || (this.#state && !this.#state.can_undo)) return;
    await this.#send("/undo", { key: newKey() });
    this.say("The last answer is taken back.");
  }

  async #answer(choice, strength) {
    if (!this.#viewer.ready || this.#sending || !this.#since) return;
    const vote = {
      trial: this.#state.trial.id,
      choice,
      ...(strength && { strength }),
      seconds: Math.round(performance.now() - this.#since) / 1000,
      zoom: this.#viewer.view.zoom,
      viewport: [innerWidth, innerHeight],
      pixel_ratio: devicePixelRatio,
      key: newKey(),
    };
    outbox.keep(vote);
    await this.#send("/votes", vote);
    outbox.clear();
  }

  /** Send, and go where the server says. Until it has answered, nothing else is sent. */
  async #send(path, body) {
    this.#sending = true;
    this.#refresh();
    let state;
    try {
      state = await this.#api.post(path, body);
    } catch (error) {
      // Another window or device was faster: go on from where that one is.
      if (!(error instanceof Refused)) return this.onError(error);
      state = await this.#api.state().catch(this.onError);
      this.say(error.message);
    } finally {
      this.#sending = false;
    }
    if (state) this.onState(state);
  }

  /** After a click by mouse or finger, keys are for the pictures again: Space would press the button once more. */
  #focusAfter(event) {
    if (event.detail > 0 && event.target.closest("button")) this.#focusPictures();
  }

  #focusPictures() {
    this.#viewer.mode.focused.focus({ preventScroll: true, focusVisible: false });
  }

  #progress() {
    const { answered, total } = this.#state;
    Object.assign(element("progress"), { max: total, value: answered });
    element("progress-text").textContent = `${answered + 1} of ${total}`;
  }

  /** Bring the controls up to date. */
  #refresh() {
    const { view, mode, ready, showsInput } = this.#viewer;
    this.#answers.open = ready && mode.seen && !showsInput && !this.#sending;
    element("undo").disabled = this.#sending || !this.#state?.can_undo;
    element("hint").textContent = showsInput ? INPUT_HINT : ready && !mode.seen ? mode.hint : "";
    element("input").ariaPressed = String(showsInput);
    element("toggle").disabled = showsInput;
    element("zoom-text").textContent = ready ? `${Math.round(100 * view.zoom)} %` : "";
    element("zoom-fit").ariaPressed = String(ready && view.zoom === view.fitting);
    element("zoom-one").ariaPressed = String(ready && view.zoom === 1);
  }

  #shortcuts(input) {
    const { mode } = this.#viewer;
    const show = () => this.#viewer.toggleInput();
    const digits = mode.keys.includes("1"); // they choose pictures
    return [
      ...this.#answers.shortcuts,
      ...mode.shortcuts,
      ...(input ? [{ keys: ["i"], shown: "I", text: "Show the input, or the pictures again", run: show }] : []),
      { keys: ["+", "="], shown: "+", text: "Zoom in", run: () => this.#viewer.step(1), repeats: true },
      { keys: ["-"], shown: "−", text: "Zoom out", run: () => this.#viewer.step(-1), repeats: true },
      { keys: ["0"], shown: "0", text: "Fit: see all of the picture", run: () => this.#viewer.fit() },
      {
        keys: digits ? ["z"] : ["1", "z"],
        shown: digits ? "Z" : "1 Z",
        text: "1:1: one pixel of the picture on one of the screen",
        run: () => this.#viewer.oneToOne(),
      },
      { shown: "Shift ←", text: "Look around when zoomed in, with all arrow keys" },
      { keys: ["u"], shown: "U", text: "Undo the last answer", run: () => this.undo() },
      { keys: ["?"], shown: "?", text: "This help", run: () => this.openHelp() },
    ];
  }
}
