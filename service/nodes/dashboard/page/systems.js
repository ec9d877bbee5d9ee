// SPDX-License-Identifier: Apache-2.0
// What the page knows of each system: how it is drawn (its colours are in style.css) and what it takes.

export const SYSTEMS = {
  "snn-sc-harq": { label: "SNN-SC-HARQ (the paper's)", symbol: "Circle", score: "similarity" },
  "snn-sc-margin-harq": { label: "margin rule (ours)", symbol: "Square", score: "margin" },
  "snn-sc-learned-harq": { label: "learned rule (ours)", symbol: "Wye", score: "outlook" },
  "multi-rate": { label: "Multi-rate", symbol: "X", steps: [4, 8], unit: "time steps" },
  "snn-sc-ldpc-harq": { label: "SNN-SC + LDPC + HARQ", symbol: "Triangle" },
  "cnn-1bit": { label: "1-bit CNN", symbol: "Diamond", steps: [1, 8], unit: "blocks" },
  bypass: { label: "bypass (error-free reference)", symbol: "Plus", errorFree: true },
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
 * is. said: what the edge says of all systems; profile: the one that is chosen. A system of one's own is as they say.
 */
export function takes(system, said, profile) {
  const own = SYSTEMS[system], info = said[system];
  return {
    words: info?.summary,
    threshold: own ? Boolean(own.score) : Boolean(info?.takes_threshold),
    errorFree: own ? Boolean(own.errorFree) : Boolean(info?.error_free),
    steps: profile?.rates[system] ?? own?.steps,
    unit: own?.unit ?? "steps",
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
