// SPDX-License-Identifier: Apache-2.0
// What the page knows of each system: how it is drawn (the colours of experiments/figures/style.py) and what it takes.

export const SYSTEMS = {
  "snn-sc-harq": { label: "SNN-SC-HARQ (the paper's)", colour: "#0072B2", symbol: "Circle", score: "similarity" },
  "snn-sc-margin-harq": { label: "margin rule (ours)", colour: "#D55E00", symbol: "Square", score: "margin" },
  "snn-sc-learned-harq": { label: "learned rule (ours)", colour: "#332288", symbol: "Wye", score: "outlook" },
  "multi-rate": { label: "Multi-rate", colour: "#686868", symbol: "X", steps: [4, 8], unit: "time steps" },
  "snn-sc-ldpc-harq": { label: "SNN-SC + LDPC + HARQ", colour: "#56B4E9", symbol: "Triangle" },
  "cnn-1bit": { label: "1-bit CNN", colour: "#CC79A7", symbol: "Diamond", steps: [1, 8], unit: "blocks" },
  bypass: { label: "bypass (error-free reference)", colour: "#888888", symbol: "Plus", errorFree: true },
};

/** A system that has no look of its own is drawn in grey under its name. */
export const look = (system) => SYSTEMS[system] ?? { label: system, colour: "#888888", symbol: "Circle" };

/** The name of a series: its system and the one setting that it holds fixed. */
export function seriesLabel(point) {
  const { label } = look(point.system);
  if (point.t !== null && point.t !== undefined) return `${label}, t = ${point.t}`;
  return point.theta === null || point.theta === undefined ? label : `${label}, θ ${point.theta}`;
}
