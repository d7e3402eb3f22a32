// The stream itself: each role, how late it is, and what is wrong in words.

import { html } from "../vendor/lit-html/lit-html.js";
import { ago, count, duration, moment, percent } from "../format.js";
import { term } from "../terms.js";

const LEVELS = { ok: "well", warning: "look", wrong: "wrong" };

export function health() {
  return {
    title: "Health",
    concerns: ({ areas }) => areas.includes("health"),
    load: (get) => get("/api/health"),
    render: (found) => html`
      <h1>Health</h1>
      <p class="lead">${found.level === "wrong" ? "Something is wrong." : found.starting.length || !found.ready ? "It is starting."
        : found.level === "ok" ? "All is well." : "It runs, and something wants a look."}
        ${found.checked_wall === null ? "The roles have not been looked at yet." : `The roles were looked at ${ago(found.checked_wall)}.`}</p>
      ${found.notes.map((note) => html`<div class="notice ${note.level}"><p>${note.text}</p>
        ${note.to_do ? html`<p class="todo">${note.to_do}</p>` : ""}</div>`)}
      <section class="card" aria-label="Roles"><div class="head"><h2>Roles</h2></div>
        <div class="scroll"><table>
          <thead><tr><th scope="col">Role</th><th scope="col">State</th><th scope="col" class="r">${term("lag", "Waiting")}</th>
            <th scope="col" class="r wide">${term("workers", "Workers")}</th><th scope="col" class="r wide">Worked off</th>
            <th scope="col" class="r wide">${term("heartbeat", "Last heartbeat")}</th></tr></thead>
          <tbody>${found.roles.map((role) => html`<tr>
            <td><strong>${role.name}</strong><span class="sub wide">${role.reads.join(", ")}</span></td>
            <td><span class="tag ${role.level}">${LEVELS[role.level]}</span> ${role.words}</td>
            <td class="r">${count(role.lag)}${role.lag ? html`<span class="sub">${role.lag_seconds === null ? "since when is unknown" : `since ${duration(role.lag_seconds)}`}</span>` : ""}</td>
            <td class="r wide">${role.members}</td><td class="r wide">${count(role.read)}</td>
            <td class="r wide">${role.last_passed_wall === null ? ago(role.last_heartbeat_wall) : html`${ago(role.last_passed_wall)}<span class="sub">through in ${duration(role.passed_seconds)}</span>`}</td></tr>`)}</tbody></table></div>
      </section>
      ${found.noticed.length ? html`<section class="card" aria-label="Noticed"><div class="head"><h2>${term("noticed", "Noticed in the last hour")}</h2></div>
        <div class="scroll"><table>
          <thead><tr><th scope="col">Role</th><th scope="col">What</th><th scope="col">Topic</th>
            <th scope="col" class="r wide">Partitions</th><th scope="col" class="r">Messages</th><th scope="col" class="r">Last</th></tr></thead>
          <tbody>${found.noticed.map((row) => html`<tr>
            <td><strong>${row.role}</strong></td><td>${row.kind.replaceAll("_", " ")}</td><td>${row.topic}</td>
            <td class="r wide">${row.partitions.join(", ")}</td>
            <td class="r">${count(row.count)}</td><td class="r">${ago(row.last_wall)}</td></tr>`)}</tbody></table></div>
      </section>` : ""}
      <section class="card" aria-label="Counts"><div class="head"><h2>What the gateway has read</h2></div>
        <dl class="facts">
          <div><dt>Forecasts</dt><dd>${count(found.forecasts)}</dd></div>
          <div><dt>Outcomes</dt><dd>${count(found.outcomes)}</dd></div>
          <div><dt>Decisions</dt><dd>${count(found.decisions)}</dd></div>
          <div><dt>Cascades held</dt><dd>${count(found.cascades)}</dd></div>
          <div><dt>Edges held</dt><dd>${count(found.edges)}</dd></div>
          <div><dt>${term("dead", "Dead letters")}</dt><dd class=${found.dead_letters ? "bad" : ""}>${count(found.dead_letters)}</dd></div>
          <div><dt>Read at the start</dt><dd>${percent(found.loaded)}</dd></div>
        </dl>
        <p class="small quiet">Newest event: ${found.event_time ? moment(found.event_time) : "none yet"}. Gateway up since ${moment(found.started_wall)}.</p>
      </section>`,
  };
}
