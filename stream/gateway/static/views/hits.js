// Hit ratios of an edge: bars beside each other, and lines over its epochs.

import { html, svg } from "../vendor/lit-html/lit-html.js";
import { percent } from "../format.js";
import { term } from "../terms.js";

/** The caches compared: term, name, colour, and where the ratio stands in a record. */
export const CACHES = [
  { term: "obeying", name: "with decisions", colour: "accent", of: (record) => record.hit_ratio },
  { term: "lru", name: "LRU", colour: "quiet", of: (record) => record.lru_hit_ratio, dash: [2, 3] },
  { term: "decayed", name: "decayed count", colour: "other", of: (record) => record.decayed_hit_ratio ?? null, dash: [6, 3] },
];

/** A bar for each cache that the record tells of. */
export function bars(record) {
  return html`<div class="hits">${CACHES.filter((cache) => cache.of(record) !== null).map((cache) => html`
    <span>${term(cache.term, cache.name)}</span>
    <svg viewBox="0 0 100 9" preserveAspectRatio="none" aria-hidden="true">${svg`
      <rect class="fill-softer" width="100" height="9"></rect>
      <rect class="fill-${cache.colour}" width=${100 * cache.of(record)} height="9"></rect>`}</svg>
    <span class="number">${percent(cache.of(record), 1)}</span>`)}</div>`;
}

/** What <line-chart> draws of an edge's epochs. */
export function lines(epochs) {
  const told = CACHES.filter((cache) => epochs.some((epoch) => cache.of(epoch) !== null));
  return {
    x: epochs.map((epoch) => epoch.window_start),
    lines: told.map(({ name, colour, dash, of }) => ({ name, colour, dash, values: epochs.map(of) })),
    marks: (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16),
    across: "start of the window, UTC",
    format: (value) => percent(value),
    range: (low, high) => [Math.max(0, Math.floor(low * 10 - 0.5) / 10), Math.min(1, Math.ceil(high * 10 + 0.2) / 10)],
  };
}

/** The key to the lines. */
export function key(epochs) {
  return html`<ul class="legend">${CACHES.filter((cache) => epochs.some((epoch) => cache.of(epoch) !== null)).map((cache) => html`
    <li><svg class="swatch" viewBox="0 0 18 10" aria-hidden="true">${svg`<line class="stroke-${cache.colour}" x1="0" x2="18" y1="5" y2="5"
      stroke-width="2" stroke-dasharray=${cache.dash?.join(" ") ?? "none"}></line>`}</svg>${term(cache.term, cache.name)}</li>`)}</ul>`;
}
