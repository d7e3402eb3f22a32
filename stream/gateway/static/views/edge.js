// One edge: hit ratio over its windows, and each decision with its reason.

import { html } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import "../charts.js";
import { count, duration, moment, points } from "../format.js";
import { term } from "../terms.js";
import { bars, key, lines } from "./hits.js";

const PAGE = 25;

export function edge(name, { draw, ask }) {
  let [q, offset, readout] = ["", 0, ""];

  return {
    title: name,
    concerns: ({ edges, more, areas }) => edges.includes(name) || (more && areas.includes("edges")),
    load: (get) => get(`/api/edges/${encodeURIComponent(name)}?${new URLSearchParams({ q, offset, limit: PAGE })}`),
    render: (found) => {
      const { summary, epochs } = found;
      const end = summary.last.window_start + summary.last.window_length;
      return html`
        <p class="small"><a href="#/edges">All edges</a></p>
        <h1>${name}</h1>
        <p class="lead">Its last window of ${duration(summary.last.window_length)} ended ${moment(end)}, by the clock of its requests.</p>
        <dl class="facts">
          <div><dt>${term("gained", "Gained on LRU")}</dt><dd>${points(summary.hit_ratio - summary.lru_hit_ratio)}</dd></div>
          <div><dt>Requests</dt><dd>${count(summary.requests)} <small>in ${count(summary.epochs)} windows</small></dd></div>
          <div><dt>${term("admitted", "Kept")}</dt><dd>${count(summary.last.admitted)} <small>of ${count(summary.last.objects)} objects</small></dd></div>
          <div><dt>Room</dt><dd>${count(summary.last.capacity)} <small>objects</small></dd></div>
          <div><dt>Ranked by</dt><dd>${summary.last.model} <small>version ${summary.last.model_version}</small></dd></div>
        </dl>
        ${summary.last.standing_down ? html`<div class="notice warning"><p>Standing down: obeying gained nothing over LRU lately,
          so no decision is in force, and the edge goes by its own rules.</p></div>` : ""}
        <section class="card" aria-label="Hit ratio">
          <div class="head"><h2>${term("hit", "Hit ratio")} by window of requests</h2></div>
          <div class="columns hero">
            <div><line-chart .data=${lines(epochs)} @readout=${(event) => { readout = event.detail; draw(); }}></line-chart>
            <p class="readout" aria-hidden="true">${readout}</p>${key(epochs)}</div>
            <div><p class="small quiet">Over all of them, by requests:</p>${bars(summary)}</div>
          </div>
        </section>
        <section class="card" aria-label="Decisions">
          <div class="head"><div><h2>Decisions in force</h2>
            ${summary.last.scored_by ? html`<p class="small quiet">Scores go by ${summary.last.scored_by}.</p>` : ""}</div>
            <div class="controls" role="search"><input type="search" placeholder="Find an object" aria-label="Find an object" maxlength="100"
              .value=${q} @input=${(event) => { [q, offset] = [event.target.value, 0]; ask(); }}></div></div>
          ${found.note ? html`<p class="small warn">${found.note}</p>` : ""}
          ${found.decisions.length ? html`<div class="scroll"><table>
            <thead><tr><th scope="col">Object</th><th scope="col">${term("verdict", "Verdict")}</th>
              <th scope="col" class="r">${term("rate", "Expected requests")}</th><th scope="col">Reason</th>
              <th scope="col" class="r wide">${term("expires", "Void in")}</th></tr></thead>
            <tbody>${repeat(found.decisions, (one) => one.object_id, (one) => html`<tr>
              <td class="name" title=${one.object_id}>${one.object_id}</td><td>${one.verdict}</td>
              <td class="r">${rate(one.score)}</td><td class="reason">${one.reason}</td>
              <td class="r wide">${one.expires_at > end ? duration(one.expires_at - end) : "now"}</td></tr>`)}</tbody></table></div>
            <div class="pager">
              <button class="plain" ?disabled=${offset === 0} @click=${() => { offset = Math.max(0, offset - PAGE); ask(); }}>Previous</button>
              <span class="number">${count(offset + 1)} to ${count(offset + found.decisions.length)} of ${count(found.total)}</span>
              <button class="plain" ?disabled=${offset + PAGE >= found.total} @click=${() => { offset += PAGE; ask(); }}>Next</button></div>`
          : html`<p class="empty">${q ? `No object with “${q}” in its name has a decision.` : "No decision is in force: the edge behaves as if there were none."}</p>`}
        </section>`;
    },
  };
}

function rate(score) {
  const requests = Math.exp(score);
  return requests < 10 ? requests.toFixed(2) : requests < 100 ? requests.toFixed(1) : count(requests);
}
