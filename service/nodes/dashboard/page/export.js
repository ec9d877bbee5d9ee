// SPDX-License-Identifier: Apache-2.0
// A chart as a file: SVG that stands by itself, PNG, and what is shown as CSV.

import { painted } from "./canvas.js";

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

/** The chart with its styles written into each element, because the file has no style sheet. */
export function standalone(chart) {
  const copy = chart.cloneNode(true);
  const originals = chart.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, index) => {
    const style = getComputedStyle(originals[index]);
    for (const name of STYLES) element.setAttribute(name, style.getPropertyValue(name));
    element.removeAttribute("class");
  });
  for (const name of ["id", "class", "aria-hidden"]) copy.removeAttribute(name);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of [["width", "100%"], ["height", "100%"], ["fill", background()]]) {
    ground.setAttribute(name, value);
  }
  copy.prepend(ground);
  return new XMLSerializer().serializeToString(copy);
}

export function saveSvg(chart, name) {
  save(standalone(chart), `${name}.svg`, "image/svg+xml");
}

export function savePng(chart, name) {
  painted(chart, background()).toBlob((blob) => save(blob, `${name}.png`, "image/png"), "image/png");
}

function background() {
  return getComputedStyle(document.documentElement).getPropertyValue("--surface").trim();
}
