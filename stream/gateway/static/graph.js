// <cascade-graph>: who passed it on from whom. The root is in the middle, time runs outwards on a
// logarithmic scale, and a branch has as much of the circle as it has ends.

import { svg, html, render } from "./vendor/lit-html/lit-html.js";
import { count, duration } from "./format.js";

const SIZE = 520;
const INNER = 26;
const RINGS = [60, 600, 3600, 14_400, 86_400, 604_800];

class CascadeGraph extends HTMLElement {
  set data(graph) {
    render(graph ? picture(graph) : html``, this);
  }
}

function picture(graph) {
  const placed = place(graph);
  const middle = SIZE / 2;
  const rings = [...RINGS.filter((age) => age < 0.45 * graph.age && placed.radius(age) > INNER + 14), graph.age];
  const links = graph.nodes.filter((node) => node.parent !== null);
  return html`<svg viewBox="0 0 ${SIZE} ${SIZE}" role="img" aria-label=${describe(graph)}>
    <g transform="translate(${middle} ${middle})">
      ${rings.map((age) => svg`<circle class="ring" r=${placed.radius(age)}></circle>
        <text text-anchor="middle" y=${-placed.radius(age) - 3}>${duration(age)}</text>`)}
      <g opacity=${Math.min(1, 60 / links.length + 0.25)}>${links.map((node) => svg`<path class="link ${node.known_parent ? "" : "unknown"}"
        d=${link(placed.at.get(node.parent), placed.at.get(node.id))}></path>`)}</g>
      ${graph.nodes.map((node) => dot(node, placed.at.get(node.id)))}
    </g>
  </svg>`;
}

function dot(node, { x, y }) {
  const kind = node.parent === null ? "root" : node.events > 1 ? "bundle" : "node";
  const r = node.parent === null ? 7 : node.events > 1 ? Math.min(16, 3 + Math.sqrt(node.events)) : 3;
  const what = node.parent === null ? "the post" : node.events > 1
    ? `${count(node.events)} events, about ${duration(node.delay)} after the post`
    : `an event ${duration(node.delay)} after the post, ${node.depth} ${node.depth === 1 ? "step" : "steps"} from it${node.known_parent ? "" : "; from whom is not known"}`;
  return svg`<circle class=${kind} cx=${x} cy=${y} r=${r}><title>${what}</title></circle>`;
}

/** Where each node goes: `at` by id, and the radius of an age. */
function place(graph) {
  const children = new Map();
  for (const node of graph.nodes) {
    if (node.parent !== null) children.set(node.parent, [...(children.get(node.parent) ?? []), node]);
  }
  const first = Math.max(1, Math.min(...graph.nodes.filter((n) => n.parent !== null).map((n) => n.delay), 30));
  const span = Math.log(Math.max(graph.age, first * 2) / first);
  const outer = SIZE / 2 - 22;
  const radius = (age) => INNER + (outer - INNER) * Math.max(0, Math.min(1, Math.log(Math.max(age, first) / first) / span));
  const ends = new Map();
  // A child stands after its parent in the list, bundles last: from the end, every child is done first.
  const count = (node) => {
    if (!ends.has(node.id)) {
      ends.set(node.id, (children.get(node.id) ?? []).reduce((sum, child) => sum + count(child), 0) || 1);
    }
    return ends.get(node.id);
  };
  const at = new Map();
  const lay = (node, from, to) => {
    const angle = (from + to) / 2;
    const r = node.parent === null ? 0 : radius(node.delay);
    at.set(node.id, { x: r * Math.cos(angle), y: r * Math.sin(angle), r, angle });
    let start = from;
    for (const child of children.get(node.id) ?? []) {
      const share = ((to - from) * count(child)) / (count(node) || 1);
      lay(child, start, start + share);
      start += share;
    }
  };
  // Neighbours in time would make a spiral: a golden step around the circle keeps them apart.
  for (const siblings of children.values()) {
    const step = new Map(siblings.map((node, i) => [node, (i * 0.618034) % 1]));
    siblings.sort((a, b) => step.get(a) - step.get(b));
  }
  const root = graph.nodes.find((node) => node.parent === null);
  lay(root, -Math.PI / 2, 1.5 * Math.PI);
  return { at, radius };
}

function link(from, to) {
  const bend = (from.r + to.r) / 2;
  const turn = from.r === 0 ? to.angle : from.angle;
  const [ax, ay] = [bend * Math.cos(turn), bend * Math.sin(turn)];
  const [bx, by] = [bend * Math.cos(to.angle), bend * Math.sin(to.angle)];
  const p = (value) => value.toFixed(1);
  return `M${p(from.x)},${p(from.y)}C${p(ax)},${p(ay)} ${p(bx)},${p(by)} ${p(to.x)},${p(to.y)}`;
}

function describe(graph) {
  const deepest = Math.max(...graph.nodes.map((node) => node.depth));
  const direct = graph.nodes.filter((node) => node.depth === 1).reduce((sum, node) => sum + node.events, 0);
  return `Graph of ${count(graph.described)} events: ${count(direct)} directly from the post, up to ${deepest} steps away. ${graph.note}`;
}

customElements.define("cascade-graph", CascadeGraph);
