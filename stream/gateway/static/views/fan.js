// A cascade's answer as what <fan-chart> draws, and the key to the drawing.

import { html, svg } from "../vendor/lit-html/lit-html.js";
import { term } from "../terms.js";

/** Of each age that has come, the newest forecast made in the first half of it, or else the first. */
export function dueForecasts({ forecasts, outcomes }) {
  return outcomes.flatMap(({ age, count }) => {
    const made = forecasts.filter((f) => f.age < age && f.horizons.some((ahead) => ahead.horizon === age));
    const forecast = made.findLast((f) => f.age <= age / 2) ?? made[0];
    if (!forecast) return [];
    const { expected, quantiles } = forecast.horizons.find((ahead) => ahead.horizon === age);
    const { p05: low, p95: high } = quantiles;
    return [{ age, count, expected, low, high, made: forecast.age, inside: low <= count && count <= high }];
  });
}

/** What the chart draws of a cascade: its newest forecast, or the one of an index. */
export function fanOf(cascade, index = -1, logarithmic = false) {
  const { summary, curve, forecasts, outcomes, event_time } = cascade;
  const forecast = forecasts.at(index);
  const came = dueForecasts(cascade);
  const latest = forecast === forecasts.at(-1);
  const judged = outcomes.map((outcome) => {
    const ahead = latest ? came.find((one) => one.age === outcome.age)
      : within(forecast.horizons.find((one) => one.horizon === outcome.age), outcome.count);
    return { ...outcome, inside: ahead?.inside };
  });
  return {
    curve, forecast, logarithmic, outcomes: judged,
    whiskers: latest ? came : [],
    now: summary.closed ? null : event_time - summary.published_at,
  };
}

function within(ahead, count) {
  return ahead && { inside: ahead.quantiles.p05 <= count && count <= ahead.quantiles.p95 };
}

/** What each part of the drawing means. */
export function legend(came) {
  const swatch = (content) => html`<svg class="swatch" viewBox="0 0 18 10" aria-hidden="true">${content}</svg>`;
  return html`<ul class="legend">
    <li>${swatch(svg`<line x1="0" x2="18" y1="5" y2="5" stroke="currentColor" stroke-width="2"></line>`)}${term("counted", "counted")}</li>
    <li>${swatch(svg`<line class="stroke-accent" x1="0" x2="18" y1="5" y2="5" stroke-width="2" stroke-dasharray="5 3"></line>`)}${term("expected", "expected")}</li>
    <li>${swatch(svg`<rect class="fill-soft" width="18" height="10"></rect><rect class="fill-soft" y="3" width="18" height="4"></rect>`)}<span>${term("interval", "90% interval")}, ${term("half", "half")} of it darker</span></li>
    ${came ? html`<li>${swatch(svg`<circle class="real" cx="9" cy="5" r="4"></circle>`)}${term("realised", "real count")}</li>
    <li>${swatch(svg`<path class="stroke-accent" d="M3 5H15M9 0V10" stroke-width="2"></path>`)}${term("whisker", "what had been forecast")}</li>` : ""}
    <li>${term("axis", "ages by multiples")}</li>
  </ul>`;
}
