// SPDX-License-Identifier: Apache-2.0
// What the page knows of each system: how it is drawn (its colours are in style.css) and what its steps are called.

export const SYSTEMS = {
  "snn-sc-harq": { label: "SNN-SC-HARQ (the paper's)", symbol: "Circle" },
  "snn-sc-margin-harq": { label: "margin rule (ours)", symbol: "Square" },
  "snn-sc-learned-harq": { label: "learned rule (ours)", symbol: "Wye" },
  "multi-rate": { label: "Multi-rate", symbol: "X", unit: "time steps" },
  "snn-sc-ldpc-harq": { label: "SNN-SC + LDPC + HARQ", symbol: "Triangle" },
  "cnn-1bit": { label: "1-bit CNN", symbol: "Diamond", unit: "blocks" },
  bypass: { label: "bypass (error-free reference)", symbol: "Plus" },
};

/** A system that has no look of its own is drawn in grey under its name. */
export const look = (system) => ({ label: system, symbol: "Circle", ...SYSTEMS[system], colour: `var(--${system}, #808080)` });

/** The name of a series: its system and the one setting that it holds fixed. */
export function seriesLabel(point) {
  const { label } = look(point.system);
  if (point.t !== null && point.t !== undefined) return `${label}, t = ${point.t}`;
  return point.theta === null || point.theta === undefined ? label : `${label}, θ ${point.theta}`;
}

/**
 * What a request for a system brings: a threshold, or one of the steps [least, most] of a fixed rate; words say what it
 * is. said: what the edge says of all systems; profile: the one that is chosen. Nothing before the edge was heard of.
 */
export function takes(system, said, profile) {
  const info = said[system];
  return {
    words: info?.summary,
    threshold: Boolean(info?.takes_threshold),
    errorFree: Boolean(info?.error_free),
    steps: profile?.rates[system],
    unit: SYSTEMS[system]?.unit ?? "steps",
  };
}

/** The profiles that an edge says it serves; none from another node. */
export function served(report) {
  return report.role === "edge" ? (report.info?.profiles ?? []).filter((each) => each.available) : [];
}

/** Systems in the order in which the page shows them: its own first, then what it has no look for. */
export function inOrder(systems) {
  return [...Object.keys(SYSTEMS).filter((name) => systems.includes(name)), ...systems.filter((name) => !(name in SYSTEMS))];
}
