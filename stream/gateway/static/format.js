// Numbers, durations and times as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: "UTC",
});

/** 1,234 and 1.2M: counts, expected ones rounded. */
export function count(value) {
  return value < 1e6 ? whole.format(Math.round(value)) : short.format(value);
}

/** 1.2K: where there is little room. */
export function brief(value) {
  return value < 10_000 ? whole.format(Math.round(value)) : short.format(value);
}

/** 35 s, 12 min, 1.5 h, 2 d, not to be broken between number and unit. */
export function duration(seconds) {
  for (const [limit, unit, length] of [[59.5, "s", 1], [3570, "min", 60], [172_000, "h", 3600]]) {
    if (seconds < limit) return `${digits(seconds / length)}\u00a0${unit}`;
  }
  return `${digits(seconds / 86_400)}\u00a0d`;
}

function digits(value) {
  return value < 9.95 ? String(Math.round(value * 10) / 10) : String(Math.round(value));
}

/** 8%, and <1% where rounding would say never. */
export function percent(share, places = 0) {
  if (share > 0 && share < 0.005 && places === 0) return "<1%";
  if (share < 1 && share > 0.995 && places === 0) return ">99%";
  return `${(share * 100).toFixed(places)}%`;
}

/** 3 Jan 2020, 14:05 UTC. */
export function moment(seconds) {
  return `${day.format(new Date(seconds * 1000))} UTC`;
}

/** 4 s ago, by the wall clock. */
export function ago(wall) {
  return wall === null ? "never" : `${duration(Math.max(0, Date.now() / 1000 - wall))} ago`;
}

/** +3.2 points: a difference of shares. */
export function points(difference) {
  return `${difference >= 0 ? "+" : "−"}${Math.abs(difference * 100).toFixed(1)} points`;
}
