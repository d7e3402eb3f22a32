// What a program may ask, from the gateway's own OpenAPI document.

import { html } from "../vendor/lit-html/lit-html.js";
import { signed } from "../store.js";

export function api() {
  return {
    title: "API",
    concerns: () => false,
    load: (get) => get("/api/openapi.json"),
    render: ({ paths }) => html`
      <h1>API</h1>
      <p class="lead">Everything on this page is JSON that any program may ask for. The
        <a href="/api/openapi.json">OpenAPI document</a> has every field.</p>
      <section class="card" aria-label="Endpoints">
        <table><thead><tr><th scope="col">Path</th><th scope="col">Answers with</th></tr></thead>
          <tbody>${Object.entries(paths).map(([path, { get }]) => html`<tr>
            <td><code>${path.includes("{") || signed() ? path : html`<a href=${path}>${path}</a>`}</code></td>
            <td>${get.summary}${parameters(get)}</td></tr>`)}</tbody></table>
      </section>
      <section class="card" aria-label="Examples"><div class="head"><h2>From a terminal</h2></div>
        <p><code>curl ${token()}'${location.origin}/api/cascades?limit=3'</code></p>
        <p><code>curl -N ${token()}'${location.origin}/api/stream?events=forecast,outcome'</code></p>
      </section>`,
  };
}

/** A shell has the token in a variable of its own, so that it is not in the history. */
const token = () => (signed() ? '-H "Authorization: Bearer $TOKEN" ' : "");

function parameters({ parameters }) {
  const named = parameters.filter((one) => one.in === "query").map((one) => one.name);
  return named.length ? html`<span class="sub wrap">${named.join(", ")}</span>` : "";
}
