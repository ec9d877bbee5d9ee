// SPDX-License-Identifier: Apache-2.0
// How a series looks beside its name: in the page's legend and readout, and below a chart that is saved.

import { svg } from "./dom.js";

const SAMPLE = { width: 28, height: 12 };
const LABEL_X = SAMPLE.width + 6;
const ROW_HEIGHT = 20;
const BETWEEN = 18;

/** The sample of a series as a drawing of its own. */
export function swatch(each) {
  return svg("svg", { class: "swatch", viewBox: `0 0 ${SAMPLE.width} ${SAMPLE.height}`, ...SAMPLE, "aria-hidden": "true" },
    sample(each));
}

/** Grow a chart by a legend of these series below it. The chart is in the document, or its texts had no length. */
export function addLegend(chart, series) {
  const { width, height } = chart.viewBox.baseVal;
  const legend = chart.appendChild(svg("g", { class: "names" }));
  let [x, rows, widest] = [0, series.length ? 1 : 0, width];
  for (const each of series) {
    const label = svg("text", { x: LABEL_X, y: 10 }, each.label);
    const entry = legend.appendChild(svg("g", {}, sample(each), label));
    const length = Math.ceil(LABEL_X + label.getComputedTextLength());
    if (x > 0 && x + length > width) [x, rows] = [0, rows + 1];
    entry.setAttribute("transform", `translate(${x},${height + ROW_HEIGHT * (rows - 1) + 6})`);
    x += length + BETWEEN;
    // A label that is longer than a narrow chart is wide widens the drawing, for it must not be cut off.
    widest = Math.max(widest, length);
  }
  const grown = height + ROW_HEIGHT * rows + (rows ? 6 : 0);
  for (const [name, value] of [["viewBox", `0 0 ${widest} ${grown}`], ["width", widest], ["height", grown]]) {
    chart.setAttribute(name, value);
  }
}

function sample({ colour, dash, symbol }) {
  const open = ["X", "Plus"].includes(symbol);
  const middle = SAMPLE.height / 2;
  return [
    svg("line", { x1: 0, x2: SAMPLE.width, y1: middle, y2: middle, stroke: colour, "stroke-width": 2, "stroke-dasharray": dash }),
    svg("path", { d: d3.symbol(d3[`symbol${symbol}`], 34)(), transform: `translate(${SAMPLE.width / 2},${middle})`,
      stroke: open ? colour : "none", "stroke-width": 2, fill: open ? "none" : colour }),
  ];
}
