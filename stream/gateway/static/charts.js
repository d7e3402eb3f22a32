// Charts as elements: <fan-chart> of one cascade, <line-chart> of series over time or by name.
// uPlot draws; colours come from the style sheet, so that light and dark are one code.

import { brief, duration } from "./format.js";

const { uPlot } = window;
const FIRST_AGE = 30; // seconds: the left end of an axis that has no zero
const AGES = [30, 60, 300, 900, 3600, 14_400, 86_400, 172_800, 604_800, 1_296_000];
const dark = matchMedia("(prefers-color-scheme: dark)");

function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(
    ["ink", "quiet", "line", "card", "accent", "accent-soft", "accent-softer", "other", "good", "bad"].map(
      (name) => [name, style.getPropertyValue(`--${name}`).trim()],
    ),
  );
}

function font(size) {
  return `${size}px ${getComputedStyle(document.body).fontFamily}`;
}

/** An element whose chart follows its size and the colour scheme; `draw` makes it from `data`. */
class Chart extends HTMLElement {
  #data = null;
  #plot = null;
  #shape = "";
  #watch = new ResizeObserver(() => this.#fit());
  #recolour = () => { this.#drop(); this.#draw(); };

  set data(data) {
    this.#data = data;
    this.#draw();
  }

  connectedCallback() {
    this.setAttribute("role", "img");
    this.#watch.observe(this);
    dark.addEventListener("change", this.#recolour);
    this.#draw();
  }

  disconnectedCallback() {
    this.#watch.disconnect();
    dark.removeEventListener("change", this.#recolour);
    this.#drop();
  }

  #drop() {
    this.#plot?.destroy();
    this.#plot = null;
  }

  #fit() {
    if (this.#plot && this.clientWidth) {
      this.#plot.setSize({ width: this.clientWidth, height: this.clientHeight });
    } else {
      this.#draw();
    }
  }

  #draw() {
    if (!this.isConnected || !this.#data || !this.clientWidth) return;
    this.setAttribute("aria-label", this.describe(this.#data));
    const table = this.table(this.#data);
    const shape = this.shape(this.#data);
    this.current = this.#data;
    if (this.#plot && shape === this.#shape) {
      this.#plot.setData(table);
      return;
    }
    this.#drop();
    this.#shape = shape;
    const options = this.options(this.#data, colours());
    this.#plot = new uPlot(
      { width: this.clientWidth, height: this.clientHeight, legend: { show: false }, ...options },
      table,
      this,
    );
  }
}

const axis = (ink, extra) => ({
  stroke: ink.quiet,
  font: font(12),
  grid: { stroke: ink.line, width: 1 },
  ticks: { show: false },
  gap: 6,
  ...extra,
});

/**
 * What was counted of a cascade, and where it may go.
 *
 * data: curve [[age, count]], forecast (or null), outcomes [{age, count}], whiskers [{age, expected,
 * low, high}], now (age by the event clock, or null), logarithmic. With the attribute `mini`: lines alone.
 */
class FanChart extends Chart {
  get mini() { return this.hasAttribute("mini"); }

  shape(data) {
    return `${data.logarithmic}|${this.mini}`;
  }

  describe({ curve, forecast, outcomes }) {
    const counted = curve.at(-1) ?? [0, 0];
    const parts = [`Counted: ${brief(counted[1])} by ${duration(counted[0])}.`];
    for (const ahead of forecast?.horizons ?? []) {
      const { p05, p95 } = ahead.quantiles;
      parts.push(`Forecast for ${duration(ahead.horizon)}: ${brief(ahead.expected)}, ${brief(p05)} to ${brief(p95)}.`);
    }
    for (const { age, count } of outcomes) parts.push(`Real count at ${duration(age)}: ${brief(count)}.`);
    return parts.join(" ");
  }

  /** x, counted, p95, p75, expected, p25, p05, realised. */
  table({ curve, forecast, outcomes }) {
    const rows = new Map();
    const put = (age, column, value) => {
      const x = Math.max(age, FIRST_AGE);
      if (!rows.has(x)) rows.set(x, Array(7).fill(null));
      rows.get(x)[column] = value;
    };
    for (const [age, count] of curve) put(age, 0, count);
    if (forecast) {
      if (curve.length === 0) put(forecast.age, 0, forecast.observed_count);
      for (let column = 1; column <= 5; column++) put(forecast.age, column, forecast.observed_count);
      for (const { horizon, expected, quantiles: q } of forecast.horizons) {
        [q.p95, q.p75, expected, q.p25, q.p05].forEach((value, i) => put(horizon, i + 1, value));
      }
    }
    for (const { age, count } of outcomes) put(age, 6, count);
    const ages = [...rows.keys()].sort((a, b) => a - b);
    return [ages, ...Array.from({ length: 7 }, (_, i) => ages.map((age) => rows.get(age)[i]))];
  }

  highest({ curve, forecast, outcomes, whiskers }) {
    return Math.max(
      5,
      ...curve.slice(-1).map((point) => point[1]),
      ...(forecast?.horizons ?? []).map((ahead) => Math.max(ahead.quantiles.p95, ahead.expected)),
      ...outcomes.map((outcome) => outcome.count),
      ...whiskers.map((whisker) => whisker.high),
    );
  }

  options(_, ink) {
    const mini = this.mini;
    const line = (stroke, width, extra) => ({
      stroke, width, spanGaps: true, points: { show: false }, ...extra,
    });
    const last = () => Math.max(
      ...this.current.curve.slice(-1).map((point) => point[0]),
      ...(this.current.forecast?.horizons ?? []).map((ahead) => ahead.horizon),
      ...this.current.outcomes.map((outcome) => outcome.age),
      FIRST_AGE * 4,
    );
    return {
      padding: mini ? [3, 4, 3, 0] : [14, 66, 0, 0],
      cursor: mini ? { show: false } : { drag: { x: false, y: false }, y: false, points: { show: false } },
      scales: {
        x: { time: false, distr: 3, range: () => [FIRST_AGE, last()] },
        y: this.current.logarithmic
          ? { distr: 3, range: () => [0.9, this.highest(this.current) * 1.4] }
          : { range: () => [0, this.highest(this.current) * 1.06] },
      },
      axes: mini ? [{ show: false }, { show: false }] : [
        axis(ink, {
          splits: (u) => AGES.filter((age) => age <= u.scales.x.max * 1.001),
          filter: (_, splits) => splits,
          values: (u, splits) => splits.map((age) => (u.width < 460 && [60, 900, 86_400].includes(age) ? "" : duration(age))),
          size: 26, label: "age since publication", labelFont: font(12), labelSize: 20, labelGap: 0,
        }),
        axis(ink, {
          size: 58, filter: (_, splits) => splits,
          splits: this.current.logarithmic
            ? (u) => [1, 10, 100, 1e3, 1e4, 1e5, 1e6].filter((count) => count <= u.scales.y.max)
            : undefined,
          values: (_, splits) => splits.map(brief),
          label: "events", labelFont: font(12), labelSize: 18, labelGap: 0,
        }),
      ],
      series: [
        {},
        line(ink.ink, mini ? 1.5 : 2),
        line("transparent", 0),
        line("transparent", 0),
        line(ink.accent, mini ? 1.5 : 2, { dash: [5, 4] }),
        line("transparent", 0),
        line("transparent", 0),
        { stroke: "transparent", points: { show: false } },
      ],
      bands: [
        { series: [2, 6], fill: ink["accent-soft"] },
        { series: [3, 5], fill: ink["accent-soft"] },
      ],
      hooks: {
        draw: [(u) => this.annotate(u, ink)],
        setCursor: mini ? [] : [(u) => this.tell(u)],
      },
    };
  }

  /** The forecast nearest to the pointer, in words, as the event `readout`. */
  tell(u) {
    const { forecast, curve } = this.current;
    const { left } = u.cursor;
    let text = "";
    if (left >= 0) {
      const age = u.posToVal(left, "x");
      const near = (points, key) => points.reduce(
        (best, point) => (Math.abs(Math.log(key(point) / age)) < Math.abs(Math.log(key(best) / age)) ? point : best),
      );
      if (forecast?.horizons.length && age > forecast.age) {
        const at = near(forecast.horizons, (ahead) => ahead.horizon);
        text = `Forecast for ${duration(at.horizon)}: ${brief(at.expected)} expected, ${brief(at.quantiles.p05)} to ${brief(at.quantiles.p95)} in nine of ten cases`;
      } else if (curve.length) {
        const at = near(curve, (point) => Math.max(point[0], 1));
        text = `Counted by ${duration(at[0])}: ${brief(at[1])}`;
      }
    }
    this.dispatchEvent(new CustomEvent("readout", { detail: text, bubbles: true }));
  }

  annotate(u, ink) {
    const { forecast, outcomes, whiskers, now } = this.current;
    const { ctx } = u;
    const unit = devicePixelRatio;
    const x = (age) => u.valToPos(Math.max(age, FIRST_AGE), "x", true);
    const y = (count) => u.valToPos(Math.max(count, 1), "y", true);
    ctx.save();
    ctx.lineWidth = 2 * unit;
    for (const { age, low, high, expected } of whiskers) {
      ctx.strokeStyle = ink.accent;
      ctx.beginPath();
      ctx.moveTo(x(age), y(low));
      ctx.lineTo(x(age), y(high));
      for (const [count, half] of [[low, 4], [high, 4], [expected, 6]]) {
        ctx.moveTo(x(age) - half * unit, y(count));
        ctx.lineTo(x(age) + half * unit, y(count));
      }
      ctx.stroke();
    }
    for (const { age, count, inside } of outcomes) {
      ctx.fillStyle = inside === false ? ink.bad : inside ? ink.good : ink.ink;
      ctx.strokeStyle = ink.card;
      ctx.beginPath();
      ctx.arc(x(age), y(count), (this.mini ? 3 : 5) * unit, 0, 2 * Math.PI);
      ctx.fill();
      ctx.stroke();
    }
    if (!this.mini) {
      ctx.font = font(12 * unit);
      ctx.textBaseline = "middle";
      this.#label(u, ink, x, y);
      const end = u.scales.x.max;
      if (now !== null && forecast && now > forecast.age && now < end) {
        ctx.strokeStyle = ink.quiet;
        ctx.lineWidth = unit;
        ctx.setLineDash([2 * unit, 3 * unit]);
        ctx.beginPath();
        ctx.moveTo(x(now), u.bbox.top);
        ctx.lineTo(x(now), u.bbox.top + u.bbox.height);
        ctx.stroke();
        ctx.fillStyle = ink.quiet;
        ctx.textAlign = "center";
        ctx.fillText("now", x(now), u.bbox.top - 7 * unit);
      }
    }
    ctx.restore();
  }

  /** The numbers of the last horizon beside its end, none on top of another. */
  #label(u, ink, x, y) {
    const ahead = this.current.forecast?.horizons.at(-1);
    if (!ahead) return;
    const { ctx } = u;
    const unit = devicePixelRatio;
    const labels = [
      [ahead.quantiles.p95, ink.quiet], [ahead.expected, ink.accent], [ahead.quantiles.p05, ink.quiet],
    ].map(([value, colour]) => ({ value, colour, at: y(value) }));
    const gap = 15 * unit;
    labels[0].at = Math.min(labels[0].at, labels[1].at - gap);
    labels[2].at = Math.max(labels[2].at, labels[1].at + gap);
    ctx.textAlign = "left";
    for (const { value, colour, at } of labels) {
      ctx.fillStyle = colour;
      ctx.font = `${colour === ink.accent ? "600 " : ""}${font((colour === ink.accent ? 14 : 12) * unit)}`;
      ctx.fillText(brief(value), x(ahead.horizon) + 8 * unit, at);
    }
  }
}

/**
 * Lines over time or over names.
 *
 * data: x [numbers], lines [{name, values, colour, dash}], marks (what x reads as), and optionally low
 * and high (a band that is right), top (of the axis), label (of the y axis), format (of its values).
 */
class LineChart extends Chart {
  shape(data) {
    return data.lines.map((line) => line.name).join("|") + (data.low ?? "") + data.x.length * Boolean(data.named);
  }

  describe(data) {
    return data.lines
      .map(({ name, values }) => {
        const last = values.findLast((value) => value !== null);
        return last === undefined ? `${name}: no value` : `${name}: last ${data.format(last)}`;
      })
      .join(". ");
  }

  table({ x, lines }) {
    return [x, ...lines.map((line) => line.values)];
  }

  options(data, ink) {
    const { named } = data;
    return {
      padding: [10, 26, 0, 0],
      cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
      scales: {
        x: { time: false, range: named ? (_, low, high) => [low - 0.4, high + 0.4] : undefined },
        y: { range: (_, low, high) => this.current.range?.(low, high) ?? [0, high * 1.1 || 1] },
      },
      axes: [
        axis(ink, {
          grid: { show: false }, space: 64,
          ...(named
            ? { splits: () => this.current.x, values: (_, splits) => splits.map((i) => this.current.marks(i)) }
            : { values: (_, splits) => splits.map((at) => this.current.marks(at)) }),
          size: 26, label: data.across, labelFont: font(12), labelSize: 20, labelGap: 0,
          incrs: [300, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400],
        }),
        axis(ink, { size: 52, values: (_, splits) => splits.map((value) => this.current.format(value)) }),
      ],
      series: [
        {},
        ...data.lines.map(({ colour, dash }) => ({
          stroke: ink[colour], width: 2, dash, spanGaps: true,
          points: { show: Boolean(named) || data.x.length < 3, size: 8, fill: ink[colour] },
        })),
      ],
      hooks: {
        drawClear: [(u) => {
          const { low, high } = this.current;
          if (low === undefined) return;
          const top = u.valToPos(high, "y", true);
          u.ctx.save(); // uPlot remembers the style that it set itself, and would label the axes in this one
          u.ctx.fillStyle = ink["accent-softer"];
          u.ctx.fillRect(u.bbox.left, top, u.bbox.width, u.valToPos(low, "y", true) - top);
          u.ctx.restore();
        }],
        setCursor: [(u) => {
          const { idx } = u.cursor;
          const { lines, marks, x, format } = this.current;
          const text = idx == null ? "" : `${marks(x[idx])}: ${lines
            .filter((line) => line.values[idx] !== null)
            .map((line) => `${line.name} ${format(line.values[idx])}`).join(", ")}`;
          this.dispatchEvent(new CustomEvent("readout", { detail: text, bubbles: true }));
        }],
      },
    };
  }
}

customElements.define("fan-chart", FanChart);
customElements.define("line-chart", LineChart);
