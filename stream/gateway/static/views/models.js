// Model quality: realised error and coverage by horizon, of every version that was scored.

import { html, svg } from "../vendor/lit-html/lit-html.js";
import "../charts.js";
import { ago, count, duration, percent } from "../format.js";
import { term } from "../terms.js";

const LOOKS = [["accent"], ["other", [6, 3]], ["quiet", [2, 3]], ["good", [8, 3, 2, 3]], ["bad", [4, 4]]];
const DRAWN = LOOKS.length;

export function models(_, { draw }) {
  const readouts = { coverage: "", error: "" };
  const read = (what) => (event) => { readouts[what] = event.detail; draw(); };

  return {
    title: "Models",
    concerns: ({ areas }) => areas.includes("models") || areas.includes("cascades"),
    load: (get) => get("/api/models"),
    render: (found) => {
      const scored = found.items.filter((row) => row.quality.length).slice(0, DRAWN);
      return html`<h1>Models</h1>
        <p class="lead">How good the forecasts turned out to be, once the ages that they were made for had come.</p>
        ${found.note ? html`<section class="card"><div class="empty"><strong>No scores yet</strong><p>${found.note}</p>
          <p>Until then <a href="#/">the forecasts page</a> sets each forecast beside what came, as the gateway itself has seen it.</p></div></section>` : html`
        <div class="columns two">
          <section class="card" aria-label="Coverage"><h2>${term("coverage", "Coverage")} of the 90% interval</h2>
            <p class="small quiet">Right is within the band, 85 to 95%.</p>
            <line-chart .data=${chart(scored, "coverage")} @readout=${read("coverage")}></line-chart>
            <p class="readout" aria-hidden="true">${readouts.coverage}</p>${key(scored)}</section>
          <section class="card" aria-label="Error"><h2>${term("msle", "Error")} by age forecast</h2>
            <p class="small quiet">Mean squared logarithmic error; lower is better.</p>
            <line-chart .data=${chart(scored, "msle")} @readout=${read("error")}></line-chart>
            <p class="readout" aria-hidden="true">${readouts.error}</p>${key(scored)}</section>
        </div>
        <section class="card" aria-label="Scores"><div class="head"><h2>Scores</h2></div>${scores(found.items)}</section>`}
        <section class="card" aria-label="Versions"><div class="head"><h2>Versions</h2></div>${versions(found)}</section>
        ${found.calibration.length ? html`<section class="card" aria-label="Calibration"><div class="head"><h2>Corrections in force</h2></div>${calibration(found.calibration)}</section>` : ""}`;
    },
  };
}

function chart(rows, what) {
  const horizons = [...new Set(rows.flatMap((row) => row.quality.map((q) => q.horizon)))].sort((a, b) => a - b);
  return {
    x: horizons.map((_, i) => i), named: true, across: "age forecast",
    marks: (i) => (horizons[i] === undefined ? "" : duration(horizons[i])),
    lines: rows.map((row, i) => ({
      name: `${row.model} ${row.model_version}`, colour: LOOKS[i][0], dash: LOOKS[i][1],
      values: horizons.map((h) => row.quality.find((q) => q.horizon === h)?.[what] ?? null),
    })),
    ...(what === "coverage"
      ? { low: 0.85, high: 0.95, format: (value) => percent(value), range: (low) => [Math.min(0.6, Math.floor(low * 10) / 10), 1] }
      : { format: (value) => value.toFixed(2), range: (_, high) => [0, high * 1.15 || 1] }),
  };
}

function key(rows) {
  return html`<ul class="legend">${rows.map((row, i) => html`<li><svg class="swatch" viewBox="0 0 18 10" aria-hidden="true">${svg`
    <line class="stroke-${LOOKS[i][0]}" x1="0" x2="18" y1="5" y2="5" stroke-width="2" stroke-dasharray=${LOOKS[i][1]?.join(" ") ?? "none"}></line>`}</svg>
    ${row.model} ${row.model_version}</li>`)}</ul>`;
}

function scores(items) {
  return html`<div class="scroll"><table>
    <thead><tr><th scope="col">Model</th><th scope="col" class="r">${term("horizon", "Age forecast")}</th>
      <th scope="col" class="r">${term("msle", "MSLE")}</th><th scope="col" class="r">${term("bias", "Bias")}</th>
      <th scope="col" class="r">${term("coverage", "Coverage")}</th><th scope="col" class="r">Scores</th></tr></thead>
    <tbody>${items.flatMap((row) => row.quality.map((q, i) => html`<tr>
      <td>${i === 0 ? html`<strong>${row.model}</strong> ${row.model_version}` : ""}</td>
      <td class="r">${duration(q.horizon)}</td><td class="r">${q.msle.toFixed(3)}</td>
      <td class="r">${signed(q.bias)}</td>
      <td class="r ${q.coverage >= 0.85 && q.coverage <= 0.95 ? "good" : "warn"}">${percent(q.coverage, 1)}</td>
      <td class="r">${count(q.scores)}${q.latest < q.scores ? html`<span class="sub">latest ${count(q.latest)}</span>` : ""}</td></tr>`))}</tbody></table></div>`;
}

function signed(value) {
  return `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}`;
}

function versions({ items, updates }) {
  if (!items.length) return html`<p class="empty">No model has answered yet.</p>`;
  const asked = new Map(updates.map((update) => [update.name, update.version]));
  return html`<div class="scroll"><table>
    <thead><tr><th scope="col">Model</th><th scope="col">Version</th><th scope="col" class="r">Forecasts served</th>
      <th scope="col" class="r">Last answered</th></tr></thead>
    <tbody>${items.map((row) => html`<tr><td>${row.model}</td>
      <td>${row.model_version} ${asked.get(row.model) === row.model_version ? html`<span class="tag" data-tip="Named on model.updates as the version to serve.">asked for</span>` : ""}</td>
      <td class="r">${count(row.forecasts)}</td>
      <td class="r">${row.last_served_wall === null ? row.shadow ? term("shadow", "tried beside it") : html`<span class="quiet">scored, not served</span>` : ago(row.last_served_wall)}</td></tr>`)}</tbody></table></div>`;
}

function calibration(found) {
  return html`<div class="scroll"><table>
    <thead><tr><th scope="col">Model</th><th scope="col" class="r">${term("horizon", "Age forecast")}</th><th scope="col">Made at age</th>
      <th scope="col" class="r">${term("shift", "Point moved")}</th><th scope="col" class="r">${term("correction", "Ends moved")}</th><th scope="col" class="r">${term("coverage", "Coverage")}</th>
      <th scope="col" class="r">${term("own", "Without it")}</th>
      <th scope="col" class="r">Scores</th></tr></thead>
    <tbody>${found.map((one) => html`<tr><td>${one.model} ${one.model_version}</td><td class="r">${duration(one.horizon)}</td>
      <td>${one.age_bucket}</td><td class="r">${signed(one.shift)}</td><td class="r">${signed(one.lower_correction)} / ${signed(one.correction)}</td>
      <td class="r">${percent(one.coverage, 1)}</td><td class="r">${percent(one.own_coverage, 1)}</td><td class="r">${count(one.sample_size)}</td></tr>`)}</tbody></table></div>`;
}
