// SPDX-License-Identifier: Apache-2.0
// The bearer token, where the nodes want one: from the address (#token=...), or asked for once; kept until the tab closes.

import { html } from "./dom.js";

const KEY = "spikelink-token";
/** What a header can carry. */
const TOKEN = /^[\x21-\x7e]+$/;
let asking = null;
let declined = false;
/** The last token that was not refused: what is left when somebody gives up after a wrong one. */
let good = null;

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given && TOKEN.test(given)) {
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname); // neither bookmarks nor screenshots shall have it
}

/** fetch with the token, which is asked for as often as the dashboard answers 401. Rejects as fetch does. */
export async function fetchWithToken(address, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const response = await fetch(address, { ...options, headers });
    if (response.status !== 401) {
      good = token;
      return response;
    }
    const changes = (options.method ?? "GET") !== "GET" && !address.startsWith("v1/classify");
    if (declined && (options.method ?? "GET") === "GET") return response; // what the page asks for by itself shall not nag
    // Another request may have asked meanwhile, and this one only has to be repeated.
    if (token === sessionStorage.getItem(KEY)) {
      const given = await (asking ??= ask(Boolean(token), changes));
      if (!given) return response; // the user would rather not
    }
  }
}

/** Resolves when the dialog is closed, to whether a token was given. */
function ask(refused, changes) {
  const which = changes ? "Changing this needs the admin token" : "The nodes want a token";
  const field = html("input", {
    id: "token", type: "password", required: true, pattern: "\\s*[\\x21-\\x7e]+\\s*", title: "letters, digits and signs",
    autocomplete: "off", autofocus: true,
  });
  const form = html("form", { method: "dialog" },
    html("h2", { id: "token-title" }, `${which}.`),
    html("p", { class: "note" }, refused ? "The one given does not do. " : "",
      "It is in the file that SPIKELINK_TOKEN_FILE or SPIKELINK_ADMIN_TOKEN_FILE names; docs/deploy.md says how to read it. ",
      "This tab remembers it until it is closed."),
    html("div", { class: "field" }, html("label", { for: "token" }, "Token"), field),
    html("div", { class: "row" }, html("button", { type: "submit", class: "main", value: "use" }, "Use it"),
      html("button", { type: "submit", value: "cancel", formnovalidate: true }, "Not now")));
  const dialog = html("dialog", { class: "panel token", "aria-labelledby": "token-title" }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      declined = dialog.returnValue !== "use" || !field.value;
      if (!declined) sessionStorage.setItem(KEY, field.value.trim());
      else if (good) sessionStorage.setItem(KEY, good);
      else sessionStorage.removeItem(KEY);
      dialog.remove();
      asking = null;
      resolve(!declined);
    });
  });
}
