// SPDX-License-Identifier: Apache-2.0
// A chart as a file: SVG that stands by itself, PNG, and what is shown as CSV.

import { painted } from "./canvas.js";
import { html, svg } from "./dom.js";
import { addLegend } from "./legend.js";

const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family",
  "font-size", "font-weight", "text-anchor"];

/** Save text or a Blob under a name. */
export function save(content, name, type) {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function saveSvg(chart, series, name) {
  save(onPaper(chart, series, standalone), `${name}.svg`, "image/svg+xml");
}

export function savePng(chart, series, name) {
  onPaper(chart, series, painted).toBlob((blob) => save(blob, `${name}.png`, "image/png"), "image/png");
}

/**
 * What is made of a chart as it belongs in a file: light whatever the page is, with the names of its series, and without
 * the rule, which shows where somebody reads the page. It has to be in the document, or it had no styles.
 */
function onPaper(chart, series, make) {
  const copy = chart.cloneNode(true);
  copy.removeAttribute("id");
  copy.querySelectorAll(".rule").forEach((each) => each.remove());
  const paper = html("div", { class: "paper", "aria-hidden": "true" }, copy);
  document.body.append(paper);
  try {
    addLegend(copy, series);
    return make(copy, getComputedStyle(paper).backgroundColor);
  } finally {
    paper.remove();
  }
}

/** The chart with its styles written into each element, because the file has no style sheet. */
function standalone(chart, background) {
  const copy = chart.cloneNode(true);
  const originals = chart.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, index) => {
    const style = getComputedStyle(originals[index]);
    for (const name of STYLES) element.setAttribute(name, style.getPropertyValue(name));
    element.removeAttribute("class");
  });
  for (const name of ["class", "aria-hidden"]) copy.removeAttribute(name);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.prepend(svg("rect", { width: "100%", height: "100%", fill: background }));
  return new XMLSerializer().serializeToString(copy);
}
