/* The rater's page: shows the step that the server names, and brings what the rater does to the server. */

import { Api, Refused } from "./api.js";
import { bindDialogs, openDialog } from "./dialogs.js";
import { answersOf, ask } from "./forms.js";
import { outbox } from "./outbox.js";
import { Rating } from "./rating.js";

const element = (id) => document.getElementById(id);
const sections = [...document.querySelectorAll("[data-step]")];

const api = new Api(location.pathname.replace(/\/+$/, ""), (failing) => {
  element("trouble-text").textContent = "No connection to the server. Nothing is lost: this page goes on trying.";
  element("trouble").hidden = !failing;
});
const rating = new Rating(api, { say, onState: show, onError: refuse, openHelp: () => openDialog("help") });
let instructed = false;
let now = { step: "loading" };

/** Tell screen readers. The same text twice is told twice. */
function say(text) {
  const status = element("status");
  status.textContent = status.textContent === text ? `${text}\u00a0` : text;
}

function show(state) {
  now = state;
  if (state.title) document.title = state.title;
  const { step } = state;
  if (step === "rating") {
    const { question, instructions, total } = state;
    for (const [name, text] of Object.entries({ question, instructions, total, ways: rating.furnish(state) }))
      for (const place of document.querySelectorAll(`[data-${name}]`)) place.textContent = text;
    instructed ||= state.answered > 0;
    if (!instructed) return turnTo("instructions");
    turnTo("rating");
    rating.show(state).catch(refuse);
    return;
  }
  rating.leave();
  if (step === "consent") element("consent-text").textContent = state.consent;
  if (step === "before" || step === "after") ask(element("questions-fields"), state.questions);
  if (step === "done") finish(state);
  turnTo(step === "before" || step === "after" ? "questions" : step);
}

/** Show a section; whoever reads by ear or keyboard goes on at its head. */
function turnTo(name) {
  const shown = sections.find((section) => !section.hidden);
  for (const section of sections) section.hidden = section.dataset.step !== name;
  if (shown?.dataset.step === name) return;
  element("status").textContent = "";
  scrollTo(0, 0);
  document.querySelector(`[data-step="${name}"] h1[tabindex]`)?.focus({ preventScroll: true, focusVisible: false });
}

function finish(state) {
  element("code").hidden = !state.completion_code;
  element("code-text").textContent = state.completion_code ?? "";
  element("done-undo").hidden = !state.can_undo;
}

function refuse(error) {
  rating.leave();
  element("refused-text").textContent = error.message;
  turnTo("refused");
  if (!("status" in error)) throw error; // not the server's no but a fault of this page
}

/** Do something once at a time: a second click while the first is under way does nothing. */
function once(action) {
  let busy = false;
  return async (event) => {
    event?.preventDefault();
    if (busy) return;
    busy = true;
    try {
      show(await action());
    } catch (error) {
      refuse(error);
    } finally {
      busy = false;
    }
  };
}

async function load() {
  const state = await api.state();
  const kept = outbox.kept();
  const open = kept && state.step === "rating" && state.trial.id === kept.trial;
  const after = open ? await api.post("/votes", kept).catch(unlessRefused) : state;
  outbox.clear();
  return after;
}

/** An answer of an earlier visit that the server does not want is dropped: the rater answers anew. */
function unlessRefused(error) {
  if (error instanceof Refused) return api.state();
  throw error;
}

async function copyCode() {
  const text = element("code-text");
  try {
    await navigator.clipboard.writeText(text.textContent);
    say("Copied.");
    element("code-copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(text); // no clipboard here: it is ready to be copied by hand
    say("Selected. Copy it with your keyboard.");
  }
}

bindDialogs();
element("trouble-again").addEventListener("click", () => api.tryNow());
element("consent-yes").addEventListener("click", once(() => api.post("/consent", { agreed: true })));
element("consent-no").addEventListener("click", () => (element("consent-declined").hidden = false));
element("questions").addEventListener(
  "submit",
  once(() => api.post("/questions", { part: now.step, answers: answersOf(element("questions"), now.questions) })),
);
element("start").addEventListener("click", () => ((instructed = true), show(now)));
element("done-undo").addEventListener("click", () => rating.undo());
element("code-copy").addEventListener("click", copyCode);
element("withdraw-yes").addEventListener("click", () => {
  element("withdraw").close();
  once(() => api.post("/withdraw", {}))();
});
element("refused-again").addEventListener("click", () => location.reload());
addEventListener("pageshow", (event) => event.persisted && once(load)()); // the back button: the page may be old
once(load)();
