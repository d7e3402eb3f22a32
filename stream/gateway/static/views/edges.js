// Every edge: what its cache gains by the decisions.

import { html } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { count, points } from "../format.js";
import { term } from "../terms.js";
import { bars } from "./hits.js";

export function edges(_, { draw, ask }) {
  let offset = 0;
  const PAGE = 50;
  return {
    title: "Edges",
    concerns: ({ areas }) => areas.includes("edges"),
    load: (get) => get(`/api/edges?limit=${PAGE}&offset=${offset}`),
    render: ({ items, total }) => html`
      <h1>Edges</h1>
      <p class="lead">What each ${term("edge", "edge")}'s cache answers by itself when it keeps what the decisions
        say, beside caches of equal size that go by other rules, on the very same requests.</p>
      <section class="card" aria-label="Edges">
        ${items.length ? html`<div class="scroll"><table>
          <thead><tr><th scope="col">Edge</th><th scope="col">${term("hit", "Hit ratio")}</th>
            <th scope="col" class="r">${term("gained", "Gained")}</th>
            <th scope="col" class="r wide">Requests</th>
            <th scope="col" class="r wide">${term("admitted", "Kept")}</th></tr></thead>
          <tbody>${repeat(items, (row) => row.edge_id, line)}</tbody></table></div>
          ${total > PAGE ? html`<div class="pager">
            <button class="plain" ?disabled=${offset === 0} @click=${() => { offset = Math.max(0, offset - PAGE); ask(); }}>Previous</button>
            <span>${count(offset + 1)} to ${count(offset + items.length)} of ${count(total)}</span>
            <button class="plain" ?disabled=${offset + PAGE >= total} @click=${() => { offset += PAGE; ask(); }}>Next</button></div>` : ""}`
        : html`<div class="empty"><strong>No edge yet</strong><p>An edge stands here when its first window of requests
          has closed and the ranker has decided. Requests come in on the topic edge.requests.</p></div>`}
      </section>`,
  };
}

function line(row) {
  const gained = row.hit_ratio - row.lru_hit_ratio;
  return html`<tr>
    <td class="name"><a href="#/edge/${encodeURIComponent(row.edge_id)}">${row.edge_id}</a>
      <span class="sub">${row.epochs} ${row.epochs === 1 ? "window" : "windows"}</span></td>
    <td>${bars(row)}</td>
    <td class="r ${gained >= 0 ? "good" : "bad"}">${points(gained)}<span class="sub">on LRU</span></td>
    <td class="r wide">${count(row.requests)}</td>
    <td class="r wide">${count(row.last.admitted)}<span class="sub">of ${count(row.last.objects)} objects</span></td>
  </tr>`;
}
