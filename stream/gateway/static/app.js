// The page: which view is shown, when it asks anew, and what is said above it.

import { html, nothing, render } from "./vendor/lit-html/lit-html.js";
import { explainTerms } from "./terms.js";
import { ago, duration, moment } from "./format.js";
import { Changes, get, Refusal, sign } from "./store.js";
import { api } from "./views/api.js";
import { cascade } from "./views/cascade.js";
import { edge } from "./views/edge.js";
import { edges } from "./views/edges.js";
import { forecasts } from "./views/forecasts.js";
import { health } from "./views/health.js";
import { models } from "./views/models.js";
import { signin } from "./views/signin.js";

const NAVIGATION = [
  ["#/", "Forecasts"], ["#/edges", "Edges"], ["#/models", "Models"], ["#/health", "Health"], ["#/api", "API"],
];
const ROUTES = [
  [/^#\/cascade\/(.+)$/, cascade, "#/"],
  [/^#\/edges$/, edges, "#/edges"],
  [/^#\/edge\/(.+)$/, edge, "#/edges"],
  [/^#\/models$/, models, "#/models"],
  [/^#\/health$/, health, "#/health"],
  [/^#\/api$/, api, "#/api"],
  [/^/, forecasts, "#/"],
];
const EVERY = 1_000; // between two questions of a view at least
const RETRY = 3_000;

const changes = new Changes();
const state = { locked: false, health: null, clock: null, rate: null, failed: null, told: null };
let view = null;
let data = null;
let error = null;
let asking = null;
let wanted = null;
let last = 0;
let again = null;

// ---------------------------------------------------------------- routing

function route() {
  const hash = location.hash || "#/";
  const [pattern, make, section] = ROUTES.find(([pattern]) => pattern.test(hash));
  const [, name] = hash.match(pattern);
  asking?.abort();
  asking = null;
  view = { section, ...make(name === undefined ? null : decodeURIComponent(name), { draw, ask }) };
  data = error = null;
  document.title = `${view.title} – tidecast`;
  draw();
  ask();
}

function moved() {
  route();
  scrollTo(0, 0);
  document.getElementById("main").focus({ preventScroll: true });
}

// ---------------------------------------------------------------- asking

/** Asks for the view's data now; what was asked before is given up. */
async function ask() {
  clearTimeout(wanted);
  wanted = null;
  asking?.abort();
  const mine = (asking = new AbortController());
  const shown = view;
  last = Date.now();
  try {
    const answer = await shown.load((path) => get(path, mine.signal));
    if (view !== shown || mine.signal.aborted) return;
    [data, error] = [answer, null];
  } catch (caught) {
    if (mine.signal.aborted) return;
    if (!(caught instanceof Refusal)) throw caught;
    error = caught;
    state.locked ||= caught.status === 401;
    // A refusal stays as it is until something changes; silence may end at any time.
    if (caught.status === 0 || caught.status === 429) soon(RETRY);
  } finally {
    if (asking === mine) asking = null;
  }
  draw();
}

/** Asks anew, not more often than is good for anyone. */
function soon(wait = EVERY) {
  if (wanted !== null || document.hidden) return;
  wanted = setTimeout(() => { wanted = null; if (asking) soon(); else ask(); }, Math.max(0, last + wait - Date.now()));
}

async function askHealth() {
  clearTimeout(again);
  try {
    const health = await get("/api/health");
    const before = state.clock;
    const seconds = before ? health.wall_time - before.wall : 0;
    if (!before || seconds > 4) {
      // Only a clock that moves steadily has a rate worth telling.
      if (before?.event > 0 && seconds < 30) state.rate = (health.event_time - before.event) / seconds;
      state.clock = { wall: health.wall_time, event: health.event_time };
    }
    [state.health, state.failed, state.told] = [health, null, Date.now()];
    // While processes start, what they are at changes without a word on the stream.
    if (health.starting.length && !document.hidden) again = setTimeout(askHealth, EVERY);
  } catch (caught) {
    if (!(caught instanceof Refusal)) throw caught;
    state.failed = caught;
    state.locked ||= caught.status === 401;
  }
  draw();
}

/** Goes on with the token that was typed. */
async function unlock(token) {
  sign(token);
  state.locked = false;
  await askHealth();
  if (state.locked) return;
  changes.start();
  route();
  document.getElementById("main").focus({ preventScroll: true });
}

// ---------------------------------------------------------------- drawing

function draw() {
  render(header(), document.getElementById("header"));
  render(notices(), document.getElementById("notices"));
  const main = document.getElementById("main");
  main.classList.toggle("stale", Boolean(error && data) || Boolean(state.told && !changes.connected));
  main.setAttribute("aria-busy", String(!data && !error && !state.locked));
  drawKeepingFocus(main);
  render(footer(), document.getElementById("footer"));
}

/** A row that moves would lose the focus. Where one has gone, browsers go on from its place by themselves. */
function drawKeepingFocus(main) {
  const at = document.activeElement;
  render(content(), main);
  if (at !== document.activeElement && at.isConnected) at.focus({ preventScroll: true });
}

function content() {
  if (state.locked) return signin(unlock);
  if (data) return view.render(data, state);
  if (!error) return html`<h1>${view.title}</h1><p class="quiet">Loading …</p>`;
  return html`<h1>${view.title}</h1>
    <div class="card empty"><strong>${error.status === 404 ? "Not here" : "No answer"}</strong>
    <p>${sentence(error.message)}</p>
    <p>${error.status === 404 ? html`<a href=${view.section}>Back to the list</a>` : "Trying again."}</p></div>`;
}

function header() {
  return html`<div class="bar">
    <a class="brand" href="#/"><img src="/static/icon.svg" alt="">tidecast</a>
    <nav aria-label="Views">${NAVIGATION.map(([hash, name]) => html`
      <a href=${hash} aria-current=${view.section === hash ? "page" : nothing}>${name}</a>`)}</nav>
    <div class="state">${connection()}</div>
  </div>`;
}

function connection() {
  if (state.locked) return html`<span class="dot"></span>locked`;
  if (!changes.connected) return html`<span class="dot wrong"></span>not connected`;
  const { health, rate } = state;
  if (!health) return html`<span class="dot"></span>connecting`;
  const pace = rate === null ? "" : Math.abs(rate - 1) < 0.2 ? "" : rate < 0.05 ? ", standing still" : `, ${Math.round(rate * 10) / 10} × your clock`;
  const clock = health.event_time
    ? html`<span class="long" title="The newest event's time${pace}">events of ${moment(health.event_time)}${pace.replace(/(\d\d+)\.\d/, "$1")}</span>`
    : html`<span class="long">no events yet</span>`;
  const starts = health.starting.length || !health.ready;
  return html`<span class="dot ${health.level}"></span>${starts ? "starting" : health.archive && health.level !== "wrong" ? "archive" : health.level === "ok" ? "live" : health.level === "warning" ? "live, with a warning" : "in trouble"} ${clock}`;
}

function notices() {
  if (state.locked) return html``;
  if (!changes.connected && (state.told || state.failed)) {
    const since = state.told ? `Shown is what was known ${duration((Date.now() - state.told) / 1000)} ago.` : "";
    return html`<div class="notice wrong"><p>The gateway does not answer. ${since} This page comes back by itself as soon as the gateway does.</p></div>`;
  }
  const notes = (state.health?.notes ?? []).filter((note) => note.level !== "ok");
  if (error && data) {
    notes.unshift({ level: "warning", text: `${sentence(error.message)} Shown is the last answer.`, to_do: "" });
  }
  if (view.section === "#/health") return html`${starting()}`;
  const told = notes.slice(0, 2);
  return html`${starting()}${told.map((note) => html`<div class="notice ${note.level}"><p>${note.text}
    ${note.to_do ? html`<span class="todo">${note.to_do}</span>` : ""}</p></div>`)}
    ${notes.length > told.length ? html`<p class="small quiet"><a href="#/health">${notes.length - told.length} more on the state of the stream</a></p>` : ""}`;
}

/** What each process is at while they start. */
function starting() {
  const told = state.health?.starting ?? [];
  if (state.locked || !told.length) return "";
  return html`<section class="card starting" aria-label="Starting"><h2>Starting</h2>
    <dl>${told.map((one) => html`<div><dt>${one.name}</dt>
      <dd class=${one.ready ? "good" : ""}>${one.words}${one.ready ? "" : html` <span class="quiet small">for ${duration(Math.max(0, state.health.wall_time - one.since_wall))}</span>`}</dd></div>`)}</dl>
  </section>`;
}

function footer() {
  const { health } = state;
  return health ? html`<p>tidecast on ${health.kafka}. ${health.last_forecast_wall === null
    ? "No forecast has been received." : `The last forecast was received ${ago(health.last_forecast_wall)}.`}</p>` : html``;
}

function sentence(text) {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return upper.endsWith(".") ? upper : `${upper}.`;
}

// ---------------------------------------------------------------- beginning

document.getElementById("main").replaceChildren();
explainTerms();
addEventListener("hashchange", moved);
document.addEventListener("visibilitychange", () => { if (!document.hidden) { ask(); askHealth(); } });
changes.addEventListener("connection", () => { if (changes.connected) { ask(); askHealth(); } else draw(); });
changes.addEventListener("changes", ({ detail }) => {
  if (document.hidden) return;
  if (detail.areas.includes("health")) askHealth();
  if (view.concerns(detail)) soon();
});
route();
askHealth();
changes.start();
