// SPDX-License-Identifier: Apache-2.0
// The dashboard's events, for as long as the page is open. The browser comes back by itself after a break and names the
// last event that it has; where it gives up (an answer that is no stream), this starts over.

const AGAIN_MS = 2000;

/** Calls on[name](document) for each event, and state("live" | "lost") when the connection comes and goes. */
export function follow(address, on, state) {
  const source = new EventSource(address);
  source.addEventListener("open", () => state("live"));
  source.addEventListener("error", () => {
    state("lost");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(address, on, state), AGAIN_MS);
  });
  for (const [name, take] of Object.entries(on)) {
    source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  }
}
