// SPDX-License-Identifier: Apache-2.0
// What went wrong, in words, whatever answered.

import { fetchWithToken } from "./token.js";

/** A failure whose message is meant for the reader. */
export class Trouble extends Error {}

/** The words of a problem document (RFC 9457). */
export function words(problem) {
  return `${problem.title}: ${problem.detail} (HTTP ${problem.status})`;
}

/** fetch, with every failure a Trouble; an abort stays what it is. */
export async function asked(address, options = {}) {
  let response;
  try {
    response = await fetchWithToken(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The dashboard does not answer. Is it still running?");
  }
  if (!response.ok) throw new Trouble(await refusal(response));
  return response;
}

async function refusal(response) {
  try {
    return words(await response.json());
  } catch {
    return `The dashboard answered HTTP ${response.status}.`;
  }
}
