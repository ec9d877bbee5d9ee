// SPDX-License-Identifier: Apache-2.0
// What the cloud said in the end: the five most probable classes, and how the session went.

import { fact, html } from "./dom.js";
import { look } from "./systems.js";
import { ber, bits, count, milliseconds, percent } from "./units.js";

const OUTCOMES = {
  accepted: "accepted", exhausted: "exhausted: no bits were left to send",
  feedback_error: "ended by an error of the feedback link",
};

export class Answer {
  constructor(host) {
    this.host = host;
  }

  clear() {
    this.host.replaceChildren();
  }

  /** A classification in the wire's form. */
  show(result) {
    const rows = result.top.map(({ label, probability }) => html("tr", {},
      html("th", { scope: "row" }, label),
      html("td", { class: "bar" }, html("meter", { min: 0, max: 1, value: probability, "aria-hidden": "true" })),
      html("td", { class: "figure" }, percent(100 * probability))));
    const flipped = result.rounds.reduce((sum, round) => sum + round.flipped_bits, 0);
    const rounds = result.rounds.length === 1 ? "1 round" : `${result.rounds.length} rounds`;
    this.host.replaceChildren(
      html("p", { class: "verdict" }, html("strong", {}, result.label), ` with ${bits(result.bandwidth_bits)} in ${rounds}`),
      html("table", { class: "top" }, html("caption", { class: "visually-hidden" }, "The five most probable classes"),
        html("tbody", {}, rows)),
      html("dl", { class: "facts" },
        fact("outcome", OUTCOMES[result.outcome] ?? result.outcome),
        fact("system", `${look(result.system).label} on ${result.profile}`),
        fact("noise", `BER ${ber(result.ber)}, ${count(flipped)} bits flipped, seed ${result.seed}`),
        fact("on the wire", result.wire_bytes === null ? "not counted" : `${count(result.wire_bytes)} bytes of HTTP`),
        fact("time", milliseconds(result.total_ms)),
        result.http_retries ? fact("HTTP retries", count(result.http_retries)) : null,
        result.durable ? null : fact("session kept", "in memory alone")));
  }
}
