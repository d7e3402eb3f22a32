// The terms of the page, explained where they stand: on hover, on focus, and at a touch.

import { html } from "./vendor/lit-html/lit-html.js";

const TERMS = {
  cascade: "A post and everything passed on from it: shares, replies, views.",
  age: "Time since the post was published, by the clock of the events. In a replay or a simulation that clock is not yours.",
  counted: "Events of the cascade seen so far: the post itself and each share, reply or view.",
  expected: "The forecast total count at that age, what has been counted included: the mean of what may come.",
  interval: "In nine of ten cases the real count should fall between these two numbers.",
  half: "In half of the cases the real count should fall into this darker part.",
  growth: "How many more events are expected by the last age that is forecast, beyond those counted.",
  viral: "The forecast chance that the cascade reaches this many events by the last age that is forecast.",
  horizon: "An age for which the count is forecast.",
  realised: "What was really counted when that age came. Green: within the 90% interval that was forecast. Red: outside it.",
  whisker: "The 90% interval that had been forecast for an age that has come since: by the newest forecast made in the first half of that time.",
  axis: "Ages are spread so that each step is a multiple: the first minutes get as much room as whole days later.",
  degraded: "A quick fall-back model answered, because the forecaster was behind.",
  model: "Which model, and which version of it, made the newest forecast.",
  ring: "Distance from the middle is time since publication. Each ring is an age.",
  edge: "A cache server near its users, and the requests that it gets.",
  hit: "Share of requests that a cache could answer from what it holds. Higher is better.",
  obeying: "The hit ratio of a cache that does what the decisions say, measured by replaying the very same requests.",
  lru: "The same requests through a cache of the same size that drops what was used least recently: the usual way.",
  decayed: "The same requests through a cache of the same size that keeps what was requested most, older requests counting less.",
  gained: "Hit ratio of the obeying cache minus that of LRU, in percentage points.",
  epoch: "The decisions made after one window of requests, five minutes unless set otherwise.",
  admitted: "Objects that the edge is told to keep, of as many as its cache is taken to hold.",
  expires: "When the decision becomes void, by the clock of the requests.",
  rate: "Requests of the object that are expected in the next window.",
  verdict: "Admit: keep it when it is requested. Prefetch: fetch it before it is.",
  msle: "Mean squared error of log2(1 + events still to come). 1 means that a typical forecast is off by a factor of two; lower is better.",
  bias: "Mean error of log2(1 + events still to come). Above 0: forecasts tend to be too high; +1 is twice too high.",
  coverage: "Share of real counts that fell within their 90% interval. Close to 90% is right; far below means that intervals are too narrow.",
  shift: "How far the point and the whole interval are moved, in log2(1 + events still to come): the mean error of the model's latest own points. +1 is twice as much.",
  correction: "How far the ends of the interval are then moved, lower and upper, in log2(1 + events still to come), so that coverage stays near 90%. Above 0: outwards.",
  own: "What coverage would be without the corrections.",
  shadow: "This version answers beside the one that is served, to be compared with it.",
  noticed: "What a role noticed about its input that results suffer from, though no message is wrong by itself. Counted since the role started.",
  lag: "Messages that wait for the role, and how long the oldest of them has waited.",
  heartbeat: "When the latest heartbeat was sent that came through the role, on the partition where that is longest ago. Without heartbeats: when the broker last counted a worker of it as alive.",
  workers: "Processes that share the role's work.",
  dead: "Messages that no role could use. Each is kept with the reason.",
};

/** A term with its explanation; the text shown may differ from the term's name. */
export function term(name, text) {
  if (!(name in TERMS)) throw new Error(`no such term: ${name}`);
  return html`<dfn class="term" tabindex="0" data-tip=${TERMS[name]} aria-description=${TERMS[name]}>${text}</dfn>`;
}

/** Makes everything with `data-tip` explain itself. */
export function explainTerms() {
  const tip = document.getElementById("tip");
  const show = (target) => {
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const at = target.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const below = at.bottom + 8 + size.height < innerHeight;
    tip.style.left = `${Math.max(12, Math.min(at.left, innerWidth - size.width - 12))}px`;
    tip.style.top = `${below ? at.bottom + 8 : Math.max(8, at.top - size.height - 8)}px`;
  };
  const hide = () => { tip.hidden = true; };
  for (const event of ["mouseover", "focusin", "click"]) {
    document.addEventListener(event, (e) => {
      const target = e.target instanceof Element ? e.target.closest("[data-tip]") : null;
      if (target) show(target); else hide();
    });
  }
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, true);
  document.addEventListener("keydown", (e) => { if (e.key === "Escape") hide(); });
}
