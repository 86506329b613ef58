/* The buttons under the pictures: which one is better, and how clearly. */

const NO_DIFFERENCE = { choice: null, key: "N" };

export class Answers {
  #holder = document.getElementById("answers");
  #strength = document.getElementById("strength");
  #buttons = [];
  #asksStrength = false;
  #chosen; // index or null; undefined: nothing yet
  #open = false;

  /** answer(choice, strength): called once both are known. */
  constructor(answer) {
    this.answer = answer;
    for (const button of this.#strength.querySelectorAll("button"))
      button.addEventListener("click", () => this.#finish(button.value));
  }

  furnish(mode, { allow_no_difference, ask_strength }) {
    this.#asksStrength = ask_strength;
    this.#strength.hidden = !ask_strength;
    const pairs = mode.names.length === 2 && mode.names[0] === "left";
    const offered = mode.names.map((name, index) => ({
      choice: index,
      key: mode.keys[index],
      text: pairs ? name[0].toUpperCase() + name.slice(1) : name,
      called: `${pairs ? name[0].toUpperCase() + name.slice(1) : `Picture ${name}`} is better`,
    }));
    const none = { ...NO_DIFFERENCE, text: "No difference", called: "No difference" };
    // "No difference" is between left and right, and after the others where there are more.
    if (allow_no_difference) offered.splice(offered.length === 2 ? 1 : offered.length, 0, none);
    this.#buttons = offered.map((one) => ({ ...one, element: this.#button(one) }));
    this.#holder.classList.toggle("many", offered.length > 4);
    this.#holder.replaceChildren(...this.#buttons.map(({ element }) => element));
  }

  /** Whether answers are taken now. */
  set open(open) {
    this.#open = open;
    for (const { element } of this.#buttons) element.ariaDisabled = String(!open);
    if (!open) this.#mark(undefined);
  }

  choose(choice) {
    if (!this.#open) return;
    if (!this.#asksStrength || choice === null) return this.answer(choice, null);
    this.#mark(choice);
    this.#strength.focus({ preventScroll: true }); // not a button: a key that is held would press it
  }

  get shortcuts() {
    const choices = this.#buttons
      .filter(({ key }) => key)
      .map(({ key, called, choice }) => {
        return { keys: [key.toLowerCase()], shown: key, text: called, run: () => this.choose(choice) };
      });
    if (!this.#asksStrength) return choices;
    const strengths = [...this.#strength.querySelectorAll("button")].map(({ value }) => ({
      keys: [value[0]],
      shown: value[0].toUpperCase(),
      text: `The difference is ${{ barely: "barely there", clearly: "clear", strongly: "strong" }[value]}`,
      run: () => this.#finish(value),
    }));
    return [...choices, ...strengths];
  }

  #finish(strength) {
    if (this.#open && this.#chosen !== undefined) this.answer(this.#chosen, strength);
  }

  #mark(choice) {
    this.#chosen = choice;
    this.#strength.classList.toggle("idle", choice === undefined);
    for (const button of this.#buttons)
      if (this.#asksStrength) button.element.ariaPressed = String(choice !== undefined && button.choice === choice);
  }

  #button({ choice, key, text, called }) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = choice === null ? "answer none" : "answer";
    if (key) button.setAttribute("aria-keyshortcuts", key);
    button.setAttribute("aria-label", called);
    button.append(text);
    if (key && key !== text) button.append(" ", Object.assign(document.createElement("kbd"), { textContent: key }));
    button.addEventListener("click", () => this.choose(choice));
    return button;
  }
}
