// SPDX-License-Identifier: Apache-2.0
// The page: its panels, and who hears of what.

import { Channel } from "./channel.js";
import { Classify } from "./classify.js";
import { Curves } from "./curves.js";
import { byId } from "./dom.js";
import { follow } from "./live.js";
import { Nodes } from "./nodes.js";
import { asked } from "./problems.js";
import { sweepSource } from "./series.js";
import { Sweeps } from "./sweeps.js";
import { count, percent } from "./units.js";

const AGAIN_MS = 2000;
const CONNECTION = {
  live: "live", lost: "connection lost, trying again …", locked: "locked: reload the page to give the token",
};

const curves = new Curves();
const classify = new Classify();
const channel = new Channel();
const nodes = new Nodes();
const sweeps = new Sweeps(curves.points);

follow("v1/events", {
  node(report) {
    nodes.node(report);
    classify.node(report);
    sweeps.node(report);
    if (report.role === "channel") channel.reachable(report.health !== "down");
  },
  link: (report) => channel.link(report),
  sweep(state) {
    curves.points.describe(sweepSource(state), state);
    sweeps.sweep(state);
  },
  points: (grown) => sweeps.grown(grown),
  gone: ({ sweep }) => sweeps.gone(sweep),
  sweeps: (store) => sweeps.store(store),
}, (state) => {
  byId("connection").dataset.state = state;
  byId("connection").textContent = CONNECTION[state];
  nodes.stale(state !== "live");
});

reference();

/** The committed results, behind whatever is measured live. */
async function reference() {
  try {
    const results = await (await asked("v1/reference")).json();
    for (const each of results) {
      curves.points.describe("reference", { ...each, seeds: [each.seed] });
      curves.points.add(each.points, "reference");
    }
    byId("source").textContent = results.map((each) => `Reference: ${each.profile}, ${count(each.images)} ${each.split} images `
      + `of CIFAR-100, noise seed ${each.seed}, weights ${each.weights_sha256.slice(0, 12)}; `
      + `without a link ${percent(each.backbone_accuracy, 2)}.`).join(" ");
  } catch {
    setTimeout(reference, AGAIN_MS);
  }
}
