/* Questions before and after, as native form controls. */

const LONGEST_TEXT = 2000; // characters; the server takes no more

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

/** Fill the holder with the questions. */
export function ask(holder, questions) {
  holder.replaceChildren(...questions.map(field));
}

/** The answers, by the questions' ids. What was left empty is left out. */
export function answersOf(form, questions) {
  const data = new FormData(form);
  const answers = {};
  for (const { id, kind } of questions) {
    const value = (data.get(id) ?? "").trim();
    if (value !== "") answers[id] = kind === "number" ? Number(value) : value;
  }
  return answers;
}

function field(question, index) {
  const { id, kind, text, required } = question;
  const note = required ? "" : " (optional)";
  if (kind === "choice")
    return make("fieldset", { className: "field" }, make("legend", {}, text, note), radios(question));
  const control =
    kind === "number"
      ? make("input", { type: "number", step: "any", inputMode: "decimal" })
      : make("textarea", { rows: 3, maxLength: LONGEST_TEXT });
  Object.assign(control, { id: `question-${index}`, name: id, required });
  return make("div", { className: "field" }, make("label", { htmlFor: control.id }, text, note), control);
}

/** One below the other; digits, as those of a scale, in a row. */
function radios({ id, choices, required }) {
  const labels = choices.map((value) =>
    make("label", { className: "check" }, make("input", { type: "radio", name: id, value, required }), " ", value),
  );
  const scale = choices.length > 2 && choices.every((value) => value.length <= 2);
  const holder = make("div", { className: scale ? "steps" : "choices" }, ...labels);
  holder.style.setProperty("--count", choices.length);
  return holder;
}
