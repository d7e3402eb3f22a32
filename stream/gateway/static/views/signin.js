// Asks for the token where the gateway does.

import { html } from "../vendor/lit-html/lit-html.js";
import { signed } from "../store.js";

/** The form; `sign` is given what is typed. */
export function signin(sign) {
  return html`
    <h1>Sign in</h1>
    <form class="card signin" @submit=${(event) => {
      event.preventDefault();
      const { token } = event.target.elements;
      if (token.value.trim()) sign(token.value.trim());
      token.select();
    }}>
      <p>This gateway answers those who have its token. It is the setting <code>http_token</code>;
        this tab forgets it when it is closed.</p>
      <label for="token">Token</label>
      <input id="token" type="password" autocomplete="current-password" required pattern="[!-~]+" title="letters, digits and signs, without spaces"
        aria-describedby="signin-told">
      <button class="plain">Sign in</button>
      <p id="signin-told" class="told" role="alert">${signed() ? "That is not the token." : ""}</p>
    </form>`;
}
