// SPDX-License-Identifier: Apache-2.0
// The dashboard's events, for as long as the page is open. The browser's own EventSource cannot send a token, so this
// reads the stream itself: after a break it comes back and names the last event that it has, and misses none.

import { eventsOf } from "./event-stream.js";
import { fetchWithToken } from "./token.js";

const AGAIN_MS = 1000;
/** The dashboard says something every 15 s; silence for longer means that the connection is dead. */
const SILENCE_MS = 40_000;

/**
 * Calls on[name](document) for each event, one after the other, and state("live" | "lost" | "locked") as the connection
 * comes and goes.
 */
export async function follow(address, on, state) {
  let last = null;
  for (;;) {
    let locked = false;
    try {
      locked = await once(address, last, state, ({ id, name, data }) => {
        last = id ?? last;
        on[name]?.(data);
      });
    } catch {
      // Whatever it was, it is worth another try.
    }
    state(locked ? "locked" : "lost");
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** Reads until the stream ends; whether a token was missing. */
async function once(address, last, state, take) {
  const connection = new AbortController();
  const headers = { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) };
  const response = await fetchWithToken(address, { headers, signal: connection.signal, cache: "no-store" });
  if (!response.ok) return response.status === 401;
  state("live");
  let silence = setTimeout(() => connection.abort(), SILENCE_MS);
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => connection.abort(), SILENCE_MS);
  };
  try {
    for await (const event of eventsOf(response, heard)) take(event);
    return false;
  } finally {
    clearTimeout(silence);
    connection.abort(); // or a stream that nobody reads any more would stay open
  }
}
