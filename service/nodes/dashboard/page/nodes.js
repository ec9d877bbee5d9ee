// SPDX-License-Identifier: Apache-2.0
// The panel of the nodes: a card each.

import { byId, fact, html } from "./dom.js";

const ORDER = ["edge", "channel", "cloud", "dashboard"];
const WORK = {
  edge: "sends spikes", channel: "flips bits", cloud: "judges and classifies", dashboard: "this page",
};

export class Nodes {
  #reports = new Map();
  #stale = false;

  /** A node as the dashboard sees it. */
  node(report) {
    this.#reports.set(report.role, report);
    this.#draw();
  }

  /** Whether what is shown may be out of date. */
  stale(yes) {
    this.#stale = yes;
    this.#draw();
  }

  #draw() {
    const reports = [...this.#reports.values()].sort((a, b) => ORDER.indexOf(a.role) - ORDER.indexOf(b.role));
    byId("cards").replaceChildren(...reports.map((report) => card(report, this.#stale)));
  }
}

function card(report, stale) {
  const health = stale ? "unknown" : report.health;
  const info = report.info;
  return html("article", { class: "card", "data-role": report.role, "data-health": health },
    html("h3", {}, report.role, html("span", { class: "health" }, health)),
    html("p", { class: "note" }, stale ? "not heard of since the connection broke" : report.failure ?? WORK[report.role] ?? ""),
    html("dl", { class: "facts" }, info ? facts(info) : null, fact("at", report.url)));
}

function facts(info) {
  const profiles = info.profiles.filter((each) => each.available);
  const precision = info.dtype ? `, ${info.dtype}` : "";
  const threads = info.torch_threads ? `, ${info.torch_threads} ${info.torch_threads === 1 ? "thread" : "threads"}` : "";
  return [
    ...profiles.flatMap((each) => [
      fact("profile", each.name),
      fact("weights", each.weights_sha256?.slice(0, 12) ?? "none", `sha256 ${each.weights_sha256}`),
    ]),
    info.device && fact("device", `${info.device}${precision}${threads}`),
    info.store && fact("store", `${info.store}${info.durable === false ? ", not durable now" : ""}`),
    fact("version", `${info.version}, Python ${info.versions.python ?? "?"}`),
    fact("process", String(info.pid)),
  ];
}
