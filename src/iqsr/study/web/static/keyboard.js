/* Keys for the whole page, and the table that tells them. */

import { stored } from "./stored.js";

const NAME = "study-keys-off";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Keyboard {
  #shortcuts = [];
  /* People who speak to their computer press keys without meaning to: WCAG 2.1.4 asks for a switch. */
  #switch = document.getElementById("keys-on");

  /** arrow(x, y, shift): what arrow keys do. active(): whether keys mean anything now. */
  constructor({ arrow, active }) {
    this.#switch.checked = stored(() => localStorage.getItem(NAME)) === null;
    this.#switch.addEventListener("change", () =>
      stored(() => (this.#switch.checked ? localStorage.removeItem(NAME) : localStorage.setItem(NAME, "1"))),
    );
    addEventListener("keydown", (event) => {
      if (!active() || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (document.querySelector("dialog[open]")) return;
      if (event.target.closest("textarea, select, input:not([type=range])")) return;
      const step = ARROWS[event.key];
      if (step) {
        event.preventDefault();
        arrow(...step, event.shiftKey);
        return;
      }
      if (event.key === " " && event.target.closest("button")) return; // it presses that button
      if (!this.#switch.checked && event.key.length === 1 && event.key !== " ") return;
      const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const found = this.#shortcuts.find(({ keys }) => keys?.includes(pressed));
      if (!found) return;
      event.preventDefault();
      if (!event.repeat || found.repeats) found.run(event);
    });
  }

  /** Take these keys, and only these: [{keys, shown, text, run, repeats}]. */
  set(shortcuts) {
    this.#shortcuts = shortcuts;
    const rows = shortcuts.map(({ shown, text }) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      for (const one of shown.split(" ")) {
        const key = document.createElement("kbd");
        key.textContent = one;
        head.append(key, " ");
      }
      row.append(head, Object.assign(document.createElement("td"), { textContent: text }));
      return row;
    });
    document.getElementById("keys").replaceChildren(...rows);
  }
}
