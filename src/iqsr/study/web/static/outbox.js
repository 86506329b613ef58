/* The answer that is on its way. It outlives the page, so that a reload or a dead battery loses nothing. */

import { stored } from "./stored.js";

const NAME = `study-answer:${location.pathname}`;

export const outbox = {
  keep: (vote) => stored(() => localStorage.setItem(NAME, JSON.stringify(vote))),
  kept: () => stored(() => JSON.parse(localStorage.getItem(NAME))),
  clear: () => stored(() => localStorage.removeItem(NAME)),
};
