// What is about to go viral: one cascade large, the list, and what came true. Where nothing is live
// any more it is an archive, of what was forecast last and what came.

import { html, svg } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import "../charts.js";
import { brief, count, duration, percent } from "../format.js";
import { term } from "../terms.js";
import { fanOf, legend } from "./fan.js";

const PAGE = 12;
const SORTS = [["growth", "growth"], ["viral", "chance to go viral"], ["count", "count"], ["recent", "news"]];
const STATES = [["current", "live"], ["closed", "closed"], ["all", "all"]];
// What the list is, by what it is sorted by.
const HEADINGS = {
  growth: "Forecast to grow most", viral: "Likeliest to go viral", count: "Counted most", recent: "Latest news",
};
// What is asked for outlives a visit to another view.
const asked = { sort: "default", state: "current", q: "", offset: 0 };
let followed = null; // the cascade drawn large

export function forecasts(_, { draw, ask }) {
  let readout = "";
  const change = (changes) => { Object.assign(asked, { offset: 0 }, changes); ask(); };

  return {
    title: "Forecasts",
    concerns: ({ areas }) => areas.includes("cascades") || areas.includes("outcomes"),

    async load(get) {
      const query = new URLSearchParams({ ...asked, limit: PAGE });
      const [page, top, due] = await Promise.all([
        get(`/api/cascades?${query}`), get("/api/cascades?limit=12"), get("/api/due?limit=6"),
      ]);
      const hero = await follow(top, get);
      return { page, due, hero };
    },

    render: ({ page, due, hero }, { health }) => html`
      <h1>${page.archive ? "What was forecast" : "About to spread"}</h1>
      <p class="lead">${page.archive
        ? html`An archive: nothing that is held here is live any more. Each post stands with the forecast that was
          made of it last, beside what came.`
        : html`Posts that are forecast to grow most from here on, while it is early: how often each was
          passed on so far, and how often it may be.`}${(health?.notes ?? [])
          .filter((note) => note.level === "ok").map((note) => html`<br><span class="small">${note.text}</span>`)}</p>
      <div class="columns hero">
        <section class="card" aria-label="The cascade followed">${hero ? large(hero, page.archive) : nothing(page)}</section>
        <section class="card" aria-label="Forecasts that came due">${came(due)}</section>
      </div>
      <section class="card" aria-label="Cascades">
        <div class="head"><h2>${heading(page)}</h2>${controls(page)}</div>
        ${page.items.length ? table(page) : html`<p class="empty">${none(page)}</p>`}
        ${pager(page)}
      </section>`,
  };

  function large(cascade, archive) {
    const { summary } = cascade;
    const ahead = summary.horizons.at(-1);
    const real = ahead && cameTo(summary, ahead);
    return html`<div class="head"><h2><a href=${to(summary)}>${summary.cascade_id}</a></h2>
        ${archive ? "" : html`<button class="plain" @click=${() => { followed = null; ask(); }}>Show the fastest now</button>`}</div>
      <p class="story">Counted <strong class="number">${count(summary.count)}</strong> times by
        ${term("age", `age ${duration(summary.age)}`)}.
        ${ahead === undefined ? "" : archive || summary.closed ? html`At ${duration(summary.forecast_age)} it was
        ${term("expected", "expected")} at <strong class="number">${count(ahead.expected)}</strong> by ${duration(ahead.horizon)},
        ${within(ahead)}${real === undefined ? "." : html`; it came to <strong class="number">${count(real)}</strong>.`}`
        : html`By ${duration(ahead.horizon)} it is
        ${term("expected", "expected")} at <strong class="number">${count(ahead.expected)}</strong>, ${within(ahead)}.`}
        ${summary.closed ? "It is followed no longer." : ""}</p>
      <fan-chart .data=${fanOf(cascade)} @readout=${(event) => { readout = event.detail; draw(); }}></fan-chart>
      <p class="readout" aria-hidden="true">${readout}</p>
      ${legend(cascade.outcomes.length > 0)}`;
  }

  function nothing(page) {
    return html`<div class="empty"><strong>No forecast yet</strong>
      <p>${page.kept ? "Posts are followed, and none of them has been forecast so far." : ""} A post is forecast once
      enough has happened to it. As soon as one is, its curve and its forecast stand here.</p></div>`;
  }

  /** By what the list is sorted: where nothing was chosen, as the gateway does. */
  function order(archive) {
    return asked.sort === "default" ? (archive ? "recent" : "growth") : asked.sort;
  }

  /** What the list holds, in words that are true of any choice. */
  function heading({ archive }) {
    const sort = order(archive);
    const which = archive ? "Archive" : STATES.find(([state]) => state === asked.state)[1];
    if (asked.state === "current" && !archive) return HEADINGS[sort];
    return `${which === "all" ? "All cascades" : which === "closed" ? "Closed cascades" : which}: ${HEADINGS[sort].toLowerCase()}`;
  }

  /** Why the list is empty. */
  function none({ archive }) {
    if (asked.q) {
      const which = archive || asked.state === "all" ? "" : asked.state === "current" ? "live " : "closed ";
      return `No ${which}cascade that was forecast has “${asked.q}” in its name.`;
    }
    return asked.state === "closed" ? "No cascade that was forecast has come to its last age yet."
      : "No cascade has been forecast yet.";
  }

  function controls({ archive }) {
    const sort = order(archive);
    const states = archive ? [["current", "the archive"], ...STATES.slice(1)] : STATES;
    return html`<div class="controls" role="search">
      <input type="search" placeholder="Find by name" aria-label="Find by name" maxlength="100" .value=${asked.q}
        @input=${(event) => change({ q: event.target.value })}>
      <label>by <select aria-label="Sort by" @change=${(event) => change({ sort: event.target.value })}>${options(SORTS, sort)}</select></label>
      <label>show <select aria-label="Show" @change=${(event) => change({ state: event.target.value })}>${options(states, asked.state)}</select></label>
    </div>`;
  }

  function table({ items, archive }) {
    const past = archive || asked.state === "closed";
    return html`<table class="cards">
      <thead><tr>
        <th scope="col">${term("cascade", "Cascade")}</th>
        <th scope="col"><span class="wide">So far and </span>forecast</th>
        <th scope="col" class="r">${term("counted", "Counted")}</th>
        <th scope="col" class="r wide">${past ? term("realised", "Real count") : term("growth", "Still to come")}</th>
        <th scope="col" class="r">${term("expected", "Expected")}</th>
        <th scope="col" class="r wide">${term("interval", "90% interval")}</th>
        <th scope="col" class="r">${term("viral", `Chance of ${brief(items[0].viral_count)}`)}</th>
      </tr></thead>
      <tbody>${repeat(items, (row) => row.cascade_id, (row) => line(row, past))}</tbody></table>`;
  }

  function line(row, past) {
    const ahead = row.horizons.at(-1);
    return html`<tr>
      <td class="name"><a href=${to(row)} title=${row.cascade_id}>${row.cascade_id}</a>
        <span class="sub">${row.closed ? "closed" : `age ${duration(row.age)}`}${row.degraded ? html`, ${term("degraded", "degraded")}` : ""}</span></td>
      <td class="mini"><fan-chart mini .data=${miniature(row)}></fan-chart></td>
      <td class="r count" data-label="counted">${count(row.count)}</td>
      <td class="r wide">${past ? realised(row, ahead) : row.closed ? "–" : `+${count(Math.max(0, row.growth))}`}</td>
      <td class="r expected" data-label="expected">${ahead ? html`${count(ahead.expected)}<span class="sub wide">by ${duration(ahead.horizon)}</span>` : "–"}</td>
      <td class="r wide">${ahead ? `${count(ahead.quantiles.p05)} – ${count(ahead.quantiles.p95)}` : "–"}</td>
      <td class="r chance" data-label="chance of ${brief(row.viral_count)}">${percent(row.viral_probability)}</td>
    </tr>`;
  }

  /** What came at the age that was forecast last, and whether the interval held it. */
  function realised(row, ahead) {
    const real = ahead && cameTo(row, ahead);
    if (real === undefined) return "–";
    const inside = ahead.quantiles.p05 <= real && real <= ahead.quantiles.p95;
    return html`<span class=${inside ? "good" : "bad"}>${count(real)}</span><span class="sub">${inside ? "inside" : "outside"}</span>`;
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

/** What was counted at an age that was forecast; undefined where it has not come. */
function cameTo(row, ahead) {
  return row.outcomes.find((outcome) => outcome.age === ahead.horizon)?.count;
}

function within(ahead) {
  return html`${term("interval", "in nine of ten cases")} between <span class="number">${count(ahead.quantiles.p05)}</span>
    and <span class="number">${count(ahead.quantiles.p95)}</span>`;
}

/** The cascade drawn large: the fastest when it was chosen, for as long as something may come of it. */
async function follow({ items: top, archive }, get) {
  if (archive) {
    const chosen = top.find((row) => row.horizons.length && cameTo(row, row.horizons.at(-1)) !== undefined) ?? top[0];
    return get(`/api/cascades/${encodeURIComponent(chosen.cascade_id)}?nodes=2`);
  }
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
