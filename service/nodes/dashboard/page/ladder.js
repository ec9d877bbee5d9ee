// SPDX-License-Identifier: Apache-2.0
// The ladder of rounds: edge, channel and cloud as lifelines, and for each round an arrow there and an arrow back.

import { html, svg } from "./dom.js";
import { bits, count, milliseconds, percent } from "./units.js";

const NODES = ["edge", "channel", "cloud"];
const TOP = 30;
const ROUND = 92;

export class Ladder {
  #host;
  #drawing = svg("svg", { class: "ladder-drawing", "aria-hidden": "true" });
  #words = html("ol", { class: "visually-hidden", "aria-label": "Rounds", "aria-live": "polite" });
  #rounds = [];
  #theta = null;
  #width = 0;

  constructor(host) {
    this.#host = host;
    host.append(this.#drawing, this.#words);
    new ResizeObserver(() => this.#resized()).observe(host);
    this.clear();
  }

  clear() {
    this.begin(null);
  }

  /** A new ladder; theta is null for systems without one. */
  begin(theta) {
    this.#theta = theta;
    this.#rounds = [];
    this.#words.replaceChildren();
    this.#draw();
  }

  /** One round, as the edge reports it. */
  add(round) {
    this.#rounds.push(round);
    this.#words.append(html("li", {}, sentence(round, this.#theta)));
    this.#draw(this.#rounds.length - 1);
  }

  #resized() {
    if (Math.floor(this.#host.clientWidth) !== this.#width) this.#draw();
  }

  /** The round with this index comes in with a movement. */
  #draw(fresh = -1) {
    const width = Math.floor(this.#host.clientWidth);
    if (width < 50) return;
    this.#width = width;
    const height = TOP + Math.max(1, this.#rounds.length) * ROUND + 8;
    const lanes = [30, width / 2, width - 30];
    this.#drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#drawing.setAttribute("height", height);
    this.#drawing.replaceChildren(
      ...NODES.map((name, index) => svg("text", { class: "lane", x: lanes[index], y: 14, "text-anchor": "middle" }, name)),
      ...lanes.map((x) => svg("line", { class: "lifeline", x1: x, x2: x, y1: TOP - 8, y2: height })),
      ...(this.#rounds.length ? [] : [svg("text", { class: "hint", x: width / 2, y: TOP + 46, "text-anchor": "middle" },
        "each round appears here")]),
      ...this.#rounds.map((round, index) => drawn(round, this.#theta, lanes, TOP + index * ROUND, index === fresh)));
  }
}

function drawn(round, theta, lanes, top, fresh) {
  const { text: verdict, passed } = judged(round, theta);
  const flips = round.flipped_bits
    ? `${count(round.flipped_bits)} flipped (${percent((100 * round.flipped_bits) / round.payload_bits)})` : "none flipped";
  const [feedback, tone] = heard(round, passed);
  const [edge, channel, cloud] = lanes;
  const times = [round.edge_ms, round.channel_ms, round.cloud_ms];
  return svg("g", { class: fresh ? "round fresh" : "round" },
    arrow(edge, channel, top + 24, bits(round.payload_bits), "sent"),
    arrow(channel, cloud, top + 24, flips, round.flipped_bits ? "flipped" : "sent"),
    arrow(cloud, channel, top + 54, verdict, "judged"),
    arrow(channel, edge, top + 54, feedback, tone),
    times.map((ms, index) => svg("text", { class: "time", x: lanes[index], y: top + 78, "text-anchor": "middle" },
      milliseconds(ms))),
    svg("text", { class: "number", x: (edge + channel) / 2, y: top + 78, "text-anchor": "middle" },
      `round ${round.round}${round.t ? `, t = ${round.t}` : ""}`));
}

function arrow(from, to, y, label, tone) {
  const way = Math.sign(to - from);
  const [start, end] = [from + way * 4, to - way * 4];
  return svg("g", { class: `arrow ${tone}` },
    svg("path", { class: "shaft", pathLength: 1, d: `M${start},${y}H${end - way * 3}` }),
    svg("path", { class: "head", d: `M${end},${y}l${-way * 8},-4v8z` }),
    svg("text", { x: (from + to) / 2, y: y - 6, "text-anchor": "middle" }, label));
}

/** The feedback as it reached the edge. An ACK whatever the score means that nothing is left to send. */
function heard(round, passed) {
  if (round.feedback_inverted) return [`${round.feedback} (inverted)`, "bad"];
  if (round.feedback === "NACK") return ["NACK", "wait"];
  return [passed === false ? "ACK (last round)" : "ACK", "good"];
}

/** What the cloud went by, and whether it was enough; null where nothing was judged. */
function judged(round, theta) {
  if (round.crc_ok !== null && round.crc_ok !== undefined) {
    return { text: round.crc_ok ? "CRC holds" : "CRC fails", passed: round.crc_ok };
  }
  const scores = { outlook: round.outlook, margin: round.margin, sim: round.similarity };
  const [name, score] = Object.entries(scores).find(([, value]) => (value ?? null) !== null) ?? [null, null];
  if (score === null || theta === null) return { text: "fixed rate", passed: null };
  const passed = Math.fround(score) > Math.fround(theta); // as the cloud compares them
  return { text: `${name} ${score.toFixed(3)} ${passed ? ">" : "≤"} θ ${theta.toFixed(3)}`, passed };
}

function sentence(round, theta) {
  const { text, passed } = judged(round, theta);
  const name = text.replace("sim ", "similarity ").replace("≤", "is not above").replace(">", "is above");
  return `Round ${round.round}: ${bits(round.payload_bits)} sent, ${count(round.flipped_bits)} flipped; ${name}; `
    + `${heard(round, passed)[0]} after ${milliseconds(round.edge_ms + round.channel_ms + round.cloud_ms)}.`;
}
