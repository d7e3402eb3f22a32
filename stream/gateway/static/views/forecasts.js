// What is about to go viral: one cascade large, the list, and what came true.

import { html, svg } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import "../charts.js";
import { brief, count, duration, percent } from "../format.js";
import { term } from "../terms.js";
import { fanOf, legend } from "./fan.js";

const PAGE = 12;
const SORTS = [["growth", "growth"], ["viral", "chance to go viral"], ["count", "count"], ["recent", "news"]];
const STATES = [["live", "live"], ["closed", "closed"], ["all", "all"]];
// What is asked for outlives a visit to another view.
const asked = { sort: "growth", state: "live", q: "", offset: 0 };
let followed = null; // the cascade drawn large

export function forecasts(_, { draw, ask }) {
  let readout = "";
  const change = (changes) => { Object.assign(asked, { offset: 0 }, changes); ask(); };

  return {
    title: "About to spread",
    concerns: ({ areas }) => areas.includes("cascades") || areas.includes("outcomes"),

    async load(get) {
      const query = new URLSearchParams({ ...asked, limit: PAGE });
      const [page, top, due] = await Promise.all([
        get(`/api/cascades?${query}`), get("/api/cascades?limit=12"), get("/api/due?limit=6"),
      ]);
      const hero = await follow(top.items, get);
      return { page, due, hero };
    },

    render: ({ page, due, hero }, { health }) => html`
      <h1>About to spread</h1>
      <p class="lead">Posts that are forecast to grow most from here on, while it is early: how often each was
        passed on so far, and how often it may be.${(health?.notes ?? [])
          .filter((note) => note.level === "ok").map((note) => html`<br><span class="small">${note.text}</span>`)}</p>
      <div class="columns hero">
        <section class="card" aria-label="The cascade followed">${hero ? large(hero) : nothing(page)}</section>
        <section class="card" aria-label="Forecasts that came due">${came(due)}</section>
      </div>
      <section class="card" aria-label="Cascades">
        <div class="head"><h2>${asked.state === "closed" ? "Closed cascades" : "Forecast to grow most"}</h2>${controls()}</div>
        ${page.items.length ? table(page) : html`<p class="empty">${asked.q
          ? `No ${asked.state === "all" ? "" : asked.state} cascade has “${asked.q}” in its name.`
          : asked.state === "closed" ? "No cascade has come to its last age yet." : "No cascade is forecast to grow at the moment."}</p>`}
        ${pager(page)}
      </section>`,
  };

  function large(cascade) {
    const { summary } = cascade;
    const ahead = summary.horizons.at(-1);
    return html`<div class="head"><h2><a href=${to(summary)}>${summary.cascade_id}</a></h2>
        <button class="plain" @click=${() => { followed = null; ask(); }}>Show the fastest now</button></div>
      <p class="story">Counted <strong class="number">${count(summary.count)}</strong> times by
        ${term("age", `age ${duration(summary.age)}`)}.
        ${summary.closed ? html`It is followed no longer.` : html`By ${duration(ahead.horizon)} it is
        ${term("expected", "expected")} at <strong class="number">${count(ahead.expected)}</strong>,
        ${term("interval", "in nine of ten cases")} between
        <span class="number">${count(ahead.quantiles.p05)}</span> and <span class="number">${count(ahead.quantiles.p95)}</span>.`}</p>
      <fan-chart .data=${fanOf(cascade)} @readout=${(event) => { readout = event.detail; draw(); }}></fan-chart>
      <p class="readout" aria-hidden="true">${readout}</p>
      ${legend(cascade.outcomes.length > 0)}`;
  }

  function nothing(page) {
    return html`<div class="empty"><strong>No forecast yet</strong>
      <p>${page.kept ? "None of the cascades held is expected to grow." : html`A post is forecast once enough has
      happened to it. As soon as one is, its curve and its forecast stand here.`}</p></div>`;
  }

  function controls() {
    return html`<div class="controls" role="search">
      <input type="search" placeholder="Find by name" aria-label="Find by name" maxlength="100" .value=${asked.q}
        @input=${(event) => change({ q: event.target.value })}>
      <label>by <select aria-label="Sort by" @change=${(event) => change({ sort: event.target.value })}>${options(SORTS, asked.sort)}</select></label>
      <label>show <select aria-label="Show" @change=${(event) => change({ state: event.target.value })}>${options(STATES, asked.state)}</select></label>
    </div>`;
  }

  function table({ items }) {
    return html`<table class="cards">
      <thead><tr>
        <th scope="col">${term("cascade", "Cascade")}</th>
        <th scope="col"><span class="wide">So far and </span>forecast</th>
        <th scope="col" class="r">${term("counted", "Counted")}</th>
        <th scope="col" class="r wide">${term("growth", "Still to come")}</th>
        <th scope="col" class="r">${term("expected", "Expected")}</th>
        <th scope="col" class="r wide">${term("interval", "90% interval")}</th>
        <th scope="col" class="r">${term("viral", `Chance of ${brief(items[0].viral_count)}`)}</th>
      </tr></thead>
      <tbody>${repeat(items, (row) => row.cascade_id, line)}</tbody></table>`;
  }

  function line(row) {
    const ahead = row.horizons.at(-1);
    return html`<tr>
      <td class="name"><a href=${to(row)} title=${row.cascade_id}>${row.cascade_id}</a>
        <span class="sub">${row.closed ? "closed" : `age ${duration(row.age)}`}${row.degraded ? html`, ${term("degraded", "degraded")}` : ""}</span></td>
      <td class="mini"><fan-chart mini .data=${miniature(row)}></fan-chart></td>
      <td class="r count" data-label="counted">${count(row.count)}</td>
      <td class="r wide">${row.closed ? "–" : `+${count(Math.max(0, row.growth))}`}</td>
      <td class="r expected" data-label="expected">${ahead ? html`${count(ahead.expected)}<span class="sub wide">by ${duration(ahead.horizon)}</span>` : "–"}</td>
      <td class="r wide">${ahead ? `${count(ahead.quantiles.p05)} – ${count(ahead.quantiles.p95)}` : "–"}</td>
      <td class="r chance" data-label="chance of ${brief(row.viral_count)}">${percent(row.viral_probability)}</td>
    </tr>`;
  }

  function pager({ total, offset, items }) {
    if (total <= PAGE && offset === 0) return "";
    return html`<div class="pager">
      <button class="plain" ?disabled=${offset === 0} @click=${() => change({ offset: Math.max(0, offset - PAGE) })}>Previous</button>
      <span class="number">${items.length ? `${count(offset + 1)} to ${count(offset + items.length)}` : "none"} of ${count(total)}</span>
      <button class="plain" ?disabled=${offset + PAGE >= total} @click=${() => change({ offset: offset + PAGE })}>Next</button>
    </div>`;
  }
}

/** The cascade drawn large: the fastest when it was chosen, for as long as something may come of it. */
async function follow(top, get) {
  if (followed !== null) {
    const cascade = await get(`/api/cascades/${encodeURIComponent(followed)}?nodes=2`).catch((refusal) => {
      if (refusal.status !== 404) throw refusal;
      return null; // it made room for others
    });
    const listed = top.some((row) => row.cascade_id === followed);
    if (cascade && !cascade.summary.closed && (listed || cascade.outcomes.length < 2)) return cascade;
  }
  // One whose first horizon is still to come: a newcomer sees it come.
  const chosen = top.find((row) => row.outcomes.length === 0) ?? top[0];
  followed = chosen?.cascade_id ?? null;
  return followed === null ? null : get(`/api/cascades/${encodeURIComponent(followed)}?nodes=2`);
}

function miniature(row) {
  const observed = (row.horizons.at(-1)?.expected ?? row.count) - row.growth; // when it was forecast
  return {
    curve: row.curve,
    forecast: { age: row.forecast_age, observed_count: observed, horizons: row.horizons },
    outcomes: row.outcomes, whiskers: [], now: null, logarithmic: false,
  };
}

function options(choices, chosen) {
  return choices.map(([value, text]) => html`<option value=${value} ?selected=${value === chosen}>${text}</option>`);
}

function to(row) {
  return `#/cascade/${encodeURIComponent(row.cascade_id)}`;
}

// ---------------------------------------------------------------- what came true

function came({ items, inside, total }) {
  return html`<h2>Forecast, and what came</h2>
    ${total ? html`<p class="quiet small">Of <span class="number">${count(total)}</span> forecasts whose
      ${term("horizon", "age")} has come, <strong class="number">${percent(inside / total)}</strong> fell within
      their ${term("interval", "90% interval")}.</p>
      <ul class="due">${repeat(items, (due) => `${due.cascade_id}@${due.horizon}`, (due) => outcome(due, items))}</ul>`
    : html`<div class="empty"><p>As soon as an age that was forecast has come, the real count stands here
      beside its forecast.</p></div>`}`;
}

function outcome(due, all) {
  const least = Math.log(Math.max(1, Math.min(...all.map((d) => Math.min(d.low, d.realised)))));
  const most = Math.log(Math.max(...all.map((d) => Math.max(d.high, d.realised)), 2));
  const x = (value) => 1 + (98 * (Math.log(Math.max(value, 1)) - least)) / Math.max(most - least, 0.1);
  const words = `forecast ${brief(due.expected)}, ${brief(due.low)} to ${brief(due.high)}; really ${brief(due.realised)}`;
  return html`<li>
    <div class="line"><a href=${to(due)}>${due.cascade_id}</a>
      <span class="quiet">at ${duration(due.horizon)}, forecast at ${duration(due.made_at_age)}</span></div>
    <div class="line number"><span>${brief(due.expected)} <span class="quiet">(${brief(due.low)} – ${brief(due.high)})</span></span>
      <span class=${due.inside ? "good" : "bad"}>${brief(due.realised)} ${due.inside ? "inside" : "outside"}</span></div>
    <svg viewBox="0 0 100 16" preserveAspectRatio="none" role="img" aria-label=${words}>
      ${svg`<line class="track" x1="0" x2="100" y1="8" y2="8" vector-effect="non-scaling-stroke"></line>
      <rect class="range" x=${x(due.low)} width=${Math.max(0.5, x(due.high) - x(due.low))} y="3" height="10"></rect>
      <line class="expect" x1=${x(due.expected)} x2=${x(due.expected)} y1="3" y2="13" vector-effect="non-scaling-stroke"></line>
      <rect class="real ${due.inside ? "" : "out"}" x=${x(due.realised) - 0.9} width="1.8" y="3.5" height="9"></rect>`}
    </svg></li>`;
}
