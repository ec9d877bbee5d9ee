// SPDX-License-Identifier: Apache-2.0
// The points behind the charts: added in any order, grouped into series, switched on and off, written as CSV.

import { look, seriesLabel } from "./systems.js";

const COLUMNS = ["source", "series", "system", "theta", "t", "ber", "images", "accuracy", "accuracy_low",
  "accuracy_high", "bandwidth_bits", "bandwidth_low", "bandwidth_high", "seeds", "profile",
  "weights_sha256", "version"];
const DASHES = ["none", "7 3", "2 3", "9 3 2 3", "4 2"];
/** Of the fixed rates, these are shown at first: the least and the most that HARQ can send. */
const FIRST_SHOWN_T = [4, 8];

export class PointSet extends EventTarget {
  #points = new Map();
  #hidden = new Map();
  #origins = new Map();

  /** What the points of a source were made of: { seeds, profile, weights_sha256, version }. */
  describe(source, { seeds, profile, weights_sha256, version }) {
    this.#origins.set(source, { seeds: seeds.join(" "), profile, weights_sha256, version });
  }

  /** Take points in the wire's form, each from a source; one that is known (same source, series, BER) is replaced. */
  add(points, source) {
    for (const point of points) {
      this.#points.set(`${source}|${point.series}|${point.ber}`, { ...point, source });
    }
    this.#tell();
  }

  /** Take these for all points of a source. */
  replace(points, source) {
    for (const [key, point] of this.#points) {
      if (point.source === source) this.#points.delete(key);
    }
    this.add(points, source);
  }

  /** Take away all points of a source. */
  remove(source) {
    this.replace([], source);
  }

  /** All series: key, label, look, dash, whether shown, and their points by BER. */
  series() {
    // The reference first, whatever came first: a sweep may have been quicker than it.
    const ordered = d3.sort(this.#points.values(), (point) => point.source !== "reference");
    const groups = d3.group(ordered, (point) => `${point.source}|${point.series}`);
    const used = new Map();
    return [...groups].map(([key, points]) => {
      const first = points[0];
      const place = used.get(first.system) ?? 0;
      used.set(first.system, place + 1);
      return {
        key,
        ...look(first.system),
        label: seriesLabel(first) + (first.source === "reference" ? "" : `, ${first.source}`),
        dash: DASHES[place % DASHES.length],
        shown: !(this.#hidden.get(key) ?? hiddenAtFirst(first)),
        points: [...points].sort((a, b) => a.ber - b.ber),
      };
    });
  }

  shown() {
    return this.series().filter((each) => each.shown);
  }

  /** The BERs at which any series that is shown has a point, ascending. */
  bers() {
    return [...new Set(this.shown().flatMap((each) => each.points.map((point) => point.ber)))].sort((a, b) => a - b);
  }

  show(key, shown) {
    this.#hidden.set(key, !shown);
    this.#tell();
  }

  /** What is shown, a line a point, which says by itself what it was made of. */
  csv() {
    const rows = this.shown().flatMap((each) => each.points)
      .map((point) => ({ ...point, ...this.#origins.get(point.source) }));
    const lines = rows.map((point) => COLUMNS.map((name) => quoted(point[name])).join(","));
    return [COLUMNS.join(","), ...lines, ""].join("\r\n");
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}

/** What the points of a sweep have as their source: with the id, for two sweeps may have one name. */
export function sweepSource({ name, id }) {
  return ["sweep", name, id.slice(0, 8)].filter(Boolean).join(" ");
}

function hiddenAtFirst(point) {
  return point.source === "reference" && point.t !== null && point.t !== undefined && !FIRST_SHOWN_T.includes(point.t);
}

function quoted(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
