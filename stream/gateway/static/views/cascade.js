// One cascade: its growth curve with any of its forecasts, the forecasts as a table, its graph.

import { html } from "../vendor/lit-html/lit-html.js";
import "../charts.js";
import "../graph.js";
import { count, duration, moment, percent } from "../format.js";
import { term } from "../terms.js";
import { fanOf, legend } from "./fan.js";

export function cascade(name, { draw }) {
  let chosen = null; // index of the forecast shown; null: the newest, also when another comes
  let logarithmic = false;
  let readout = "";

  return {
    title: name,
    concerns: ({ cascades, more, areas }) => cascades.includes(name) || (more && areas.includes("cascades")),
    load: (get) => get(`/api/cascades/${encodeURIComponent(name)}`),
    render: (found) => html`
      <p class="small"><a href="#/">All forecasts</a></p>
      <h1>${name}</h1>
      <p class="lead">Published ${moment(found.summary.published_at)}, by the clock of its events.
        ${found.summary.closed ? "It is followed no longer: its last outcome is in." : ""}</p>
      ${facts(found.summary)}
      <section class="card" aria-label="Growth">${growth(found)}</section>
      <div class="columns wider">
        <section class="card" aria-label="Graph">${graph(found.graph)}</section>
        <section class="card" aria-label="Forecasts over time">${table(found)}</section>
      </div>`,
  };

  function facts(summary) {
    const ahead = summary.horizons.at(-1);
    return html`<dl class="facts">
      <div><dt>${term("counted", "Counted")}</dt><dd>${count(summary.count)} <small>by age ${duration(summary.age)}</small></dd></div>
      ${ahead ? html`<div><dt>${term("expected", "Expected")}</dt><dd>${count(ahead.expected)} <small>by ${duration(ahead.horizon)}</small></dd></div>
      <div><dt>${term("interval", "90% interval")}</dt><dd>${count(ahead.quantiles.p05)} – ${count(ahead.quantiles.p95)}</dd></div>` : ""}
      <div><dt>${term("viral", `Chance of ${count(summary.viral_count)}`)}</dt><dd>${percent(summary.viral_probability)}</dd></div>
      <div><dt>${term("model", "Model")}</dt><dd>${summary.model} <small>version ${summary.model_version}${summary.degraded ? html`, ${term("degraded", "degraded")}` : ""}</small></dd></div>
    </dl>`;
  }

  function growth(found) {
    const { forecasts } = found;
    const last = forecasts.length - 1;
    const index = chosen === null || chosen > last ? last : chosen;
    const shown = forecasts[index];
    return html`<div class="head"><h2>Growth, counted and forecast</h2>
        <label class="controls small"><input type="checkbox" .checked=${logarithmic}
          @change=${(event) => { logarithmic = event.target.checked; draw(); }}>
          <span data-tip="Each step up the axis is ten times as many: small counts can be read beside large ones.">counts by multiples</span></label></div>
      <fan-chart .data=${fanOf(found, index, logarithmic)} @readout=${(event) => { readout = event.detail; draw(); }}></fan-chart>
      <p class="readout" aria-hidden="true">${readout}</p>
      ${legend(found.outcomes.length > 0)}
      ${last > 0 ? html`<div class="slide"><label for="made">Forecast made at age</label>
        <input id="made" type="range" min="0" max=${last} .value=${String(index)} aria-valuetext=${duration(shown.age)}
          @input=${(event) => { const at = Number(event.target.value); chosen = at === last ? null : at; draw(); }}>
        <span class="number">${duration(shown.age)}, ${count(shown.observed_count)} counted${index === last ? ", the newest" : ""}</span></div>` : ""}`;
  }

  function graph(graph) {
    return html`<div class="head"><h2>Who passed it on from whom</h2></div>
      ${graph ? html`<cascade-graph .data=${graph}></cascade-graph>
        <p class="small quiet">The post is in the middle; ${term("ring", "rings are ages")}. As of age ${duration(graph.age)}.
        ${graph.note ? html`<br>${capital(graph.note)}.` : ""}
        ${graph.nodes.some((node) => !node.known_parent) ? html`<br>A dashed line: from whom it was passed on is not known.` : ""}</p>`
      : html`<p class="empty">No snapshot of this cascade is held any more: the graph is made from the newest one, and
        the topic keeps them for a day.</p>`}`;
  }

  function table({ forecasts, outcomes, summary }) {
    const horizons = [...new Set(forecasts.flatMap((f) => f.horizons.map((ahead) => ahead.horizon)))].sort((a, b) => a - b);
    const came = new Map(outcomes.map((outcome) => [outcome.age, outcome.count]));
    return html`<div class="head"><h2>Forecasts over time</h2></div>
      <div class="scroll" tabindex="0" role="group" aria-label="Forecasts over time, scrolls sideways"><table>
      <thead><tr><th scope="col">${term("age", "Made at")}</th><th scope="col" class="r">${term("counted", "Counted")}</th>
        ${horizons.map((h) => html`<th scope="col" class="r">by ${duration(h)}</th>`)}</tr></thead>
      <tbody>
        ${came.size ? html`<tr><td class="when"><strong>${term("realised", "Real count")}</strong></td><td></td>
          ${horizons.map((h) => html`<td class="r"><strong>${came.has(h) ? count(came.get(h)) : "–"}</strong></td>`)}</tr>` : ""}
        ${[...forecasts].reverse().map((forecast) => html`<tr>
          <td class="when">${duration(forecast.age)}${forecast.model === summary.model ? "" : html`<span class="sub">${forecast.model}</span>`}</td>
          <td class="r">${count(forecast.observed_count)}</td>
          ${horizons.map((h) => cell(forecast.horizons.find((ahead) => ahead.horizon === h), came.get(h)))}</tr>`)}
      </tbody></table></div>
      <p class="small quiet">Each number is what was expected, with its ${term("interval", "90% interval")}.</p>`;
  }

  function cell(ahead, real) {
    if (!ahead) return html`<td class="r quiet">–</td>`;
    const { p05, p95 } = ahead.quantiles;
    const judged = real === undefined ? "" : p05 <= real && real <= p95 ? "good" : "bad";
    return html`<td class="r">${count(ahead.expected)}<span class="sub ${judged}">${count(p05)} – ${count(p95)}</span></td>`;
  }
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
