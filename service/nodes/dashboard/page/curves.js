// SPDX-License-Identifier: Apache-2.0
// The panel of the curves: two charts on one BER axis, a legend that switches, a readout, tables, files.

import { Chart } from "./chart.js";
import { byId, html } from "./dom.js";
import { savePng, saveSvg, save } from "./export.js";
import { swatch } from "./legend.js";
import { PointSet } from "./series.js";
import { ber, bits, count, percent } from "./units.js";

const SPECS = [
  {
    id: "bandwidth", title: "mean bandwidth", unit: "bits per image",
    value: "bandwidth_bits", low: "bandwidth_low", high: "bandwidth_high",
    // The label of the least stands under it: what sends little lies just above.
    limits: [{ at: 2080, label: "2,080 bits: the first frame", below: true }, { at: 4128, label: "4,128 bits: all frames" }],
    format: d3.format(",.0f"), text: (point) => bits(point.bandwidth_bits),
  },
  {
    id: "accuracy", title: "accuracy", unit: "%",
    value: "accuracy", low: "accuracy_low", high: "accuracy_high", limits: [], format: d3.format(".1f"),
    text: (point) => `${percent(point.accuracy, 2)} (${point.accuracy_low.toFixed(1)} to ${point.accuracy_high.toFixed(1)})`,
  },
];

export class Curves {
  points = new PointSet();
  #charts = [];
  #host = byId("charts");
  #ber = null;
  #width = 0;

  constructor() {
    this.#host.setAttribute("role", "slider");
    this.#host.setAttribute("tabindex", "0");
    this.#host.setAttribute("aria-label", "Read the curves at a bit error rate");
    this.#charts = SPECS.map((spec) => new Chart(this.#host, spec));
    this.#host.addEventListener("pointermove", (event) => this.#point(event));
    this.#host.addEventListener("pointerdown", (event) => this.#point(event));
    this.#host.addEventListener("keydown", (event) => this.#key(event));
    this.points.addEventListener("change", () => this.draw());
    new ResizeObserver(() => Math.floor(this.#host.clientWidth) !== this.#width && this.#drawCharts()).observe(this.#host);
    byId("exports").append(...this.#exports());
  }

  draw() {
    const bers = this.points.bers();
    if (!bers.includes(this.#ber)) this.#ber = bers[Math.floor(bers.length / 2)] ?? null;
    this.#drawLegend();
    this.#drawCharts();
    this.#drawTables();
  }

  #drawCharts() {
    const width = Math.floor(this.#host.clientWidth);
    if (width < 50) return;
    this.#width = width;
    const shown = this.points.shown();
    for (const chart of this.#charts) chart.draw(shown, width, this.#ber);
    this.#read();
  }

  #drawLegend() {
    const boxes = this.points.series().map((each) => {
      const box = html("input", {
        type: "checkbox", checked: each.shown, change: (event) => this.points.show(each.key, event.target.checked),
      });
      box.dataset.key = each.key;
      return html("label", {}, box, swatch(each), each.label);
    });
    const focused = document.activeElement?.dataset?.key;
    byId("legend").replaceChildren(html("fieldset", {}, html("legend", {}, "Series shown"), boxes));
    if (focused) byId("legend").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #point(event) {
    const bers = this.points.bers();
    if (bers.length) this.#moveTo(d3.least(bers, (each) => Math.abs(each - this.#charts[0].berAt(event.clientX))));
  }

  #key(event) {
    const bers = this.points.bers();
    const place = bers.indexOf(this.#ber);
    const places = { ArrowLeft: place - 1, ArrowDown: place - 1, ArrowRight: place + 1, ArrowUp: place + 1,
      Home: 0, End: bers.length - 1 };
    if (!(event.key in places) || !bers.length) return;
    event.preventDefault();
    this.#moveTo(bers[Math.max(0, Math.min(bers.length - 1, places[event.key]))]);
  }

  #moveTo(value) {
    if (value === this.#ber) return;
    this.#ber = value;
    const shown = this.points.shown();
    for (const chart of this.#charts) chart.rule(shown, value);
    this.#read();
  }

  #read() {
    if (this.#ber === null) return;
    const bers = this.points.bers();
    const rows = this.points.shown().flatMap((each) => {
      const point = each.points.find((candidate) => candidate.ber === this.#ber);
      return point ? [{ each, point }] : [];
    });
    const heads = ["series", "mean bandwidth", "accuracy (95 % interval)", "images"];
    byId("readout").replaceChildren(html("table", {},
      html("caption", {}, `At a BER of ${ber(this.#ber)}`),
      html("thead", {}, html("tr", {}, heads.map((head) => html("th", { scope: "col" }, head)))),
      html("tbody", {}, rows.map(({ each, point }) => html("tr", {},
        html("th", { scope: "row" }, swatch(each), each.label),
        SPECS.map((spec) => html("td", {}, spec.text(point))), html("td", {}, count(point.images)))))));
    const words = rows.map(({ each, point }) => `${each.label}: ${SPECS.map((spec) => spec.text(point)).join(", ")}`);
    for (const [name, value] of Object.entries({
      "aria-valuemin": bers[0], "aria-valuemax": bers.at(-1), "aria-valuenow": this.#ber,
      "aria-valuetext": `BER ${ber(this.#ber)}. ${words.join(". ")}`,
    })) this.#host.setAttribute(name, value);
  }

  #drawTables() {
    const open = new Set([...byId("tables").querySelectorAll("details[open]")].map((each) => each.dataset.of));
    byId("tables").replaceChildren(...SPECS.map((spec) => this.#table(spec, open.has(spec.id))));
  }

  #table(spec, open) {
    const shown = this.points.shown();
    const head = ["BER", ...shown.map((each) => each.label)];
    const rows = this.points.bers().map((value) => html("tr", {}, html("th", { scope: "row" }, ber(value)),
      shown.map((each) => {
        const point = each.points.find((candidate) => candidate.ber === value);
        return html("td", {}, point ? spec.text(point) : "–");
      })));
    const details = html("details", { open }, html("summary", {}, `Table: ${spec.title} (${spec.unit})`),
      html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table of ${spec.title}` },
        html("table", {}, html("thead", {}, html("tr", {}, head.map((each) => html("th", { scope: "col" }, each)))),
          html("tbody", {}, rows))));
    details.dataset.of = spec.id;
    return details;
  }

  #exports() {
    const button = (name, what, click) => html("button",
      { type: "button", "aria-label": `Save ${what} as ${name}`, click }, name);
    const files = this.#charts.flatMap((chart, index) => {
      const { id, title } = SPECS[index];
      const file = (name, saved) =>
        button(name, title, () => saved(chart.element, this.points.shown(), `spikelink-${id}`));
      return [html("span", {}, `${title}:`), file("SVG", saveSvg), file("PNG", savePng)];
    });
    const csv = button("CSV", "all that is shown", () => save(this.points.csv(), "spikelink-curves.csv", "text/csv"));
    return [html("span", {}, "Save"), ...files, html("span", {}, "all that is shown:"), csv];
  }
}
