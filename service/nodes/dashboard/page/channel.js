// SPDX-License-Identifier: Apache-2.0
// The panel of the channel: each link's impairments, changed from here, and what crosses it.

import { byId, fact, field, html, offer } from "./dom.js";
import { asked } from "./problems.js";
import { ber, bits, count, rate } from "./units.js";

const TITLES = { forward: "Forward link: edge to cloud", feedback: "Feedback link: ACKs and NACKs" };

export class Channel {
  #links = new Map();

  constructor() {
    const button = html("button", { type: "button", id: "reset", click: () => this.#reset() }, "Reset both links");
    this.status = html("p", { role: "status", class: "note", id: "channel-status" });
    byId("channel").append(html("div", { class: "row" }, button, this.status));
  }

  /** A link as the channel has it now. */
  link(report) {
    if (!this.#links.has(report.name)) {
      const form = new LinkForm(report, (change) => this.#change(report.name, change));
      this.#links.set(report.name, form);
      const order = Object.keys(TITLES);
      const forms = [...this.#links].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
      byId("links").replaceChildren(...forms.map(([, each]) => each.element));
    }
    this.#links.get(report.name).show(report);
  }

  /** Without the dashboard or the channel nothing can be changed. */
  reachable(yes) {
    for (const each of this.#links.values()) each.element.disabled = !yes;
    byId("reset").disabled = !yes;
  }

  async #change(name, change) {
    await this.#told(async () => {
      const response = await asked(`v1/links/${name}`, {
        method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(change),
      });
      const link = await response.json();
      return `${name}: set, revision ${link.revision}.`;
    });
    if ("bad" in this.status.dataset) this.#links.get(name).restore();
  }

  async #reset() {
    await this.#told(async () => {
      await asked("v1/reset", { method: "POST" });
      return "Both links are as they were at the start.";
    });
  }

  async #told(act) {
    try {
      this.status.textContent = await act();
      delete this.status.dataset.bad;
    } catch (error) {
      this.status.textContent = error.message;
      this.status.dataset.bad = "";
    }
  }
}

class LinkForm {
  #report = null;
  #settings = "";

  constructor(report, change) {
    const id = (name) => `${report.name}-${name}`;
    const numeric = (name, attributes) => html("input", {
      id: id(name), type: "number", required: true, inputmode: "decimal", autocomplete: "off", ...attributes,
      change: (event) => event.target.reportValidity() && change({ [name]: event.target.valueAsNumber }),
    });
    this.ber = numeric("ber", { min: 0, max: 0.5, step: "any" });
    this.slider = html("input", {
      id: id("slider"), type: "range", min: 0, max: 0.5, step: 0.01, "aria-label": `BER of the ${report.name} link`,
      input: () => { this.ber.value = this.slider.value; },
      change: () => change({ ber: this.slider.valueAsNumber }),
    });
    this.latency = numeric("latency_ms", { min: 0, max: 60000, step: "any" });
    this.model = html("select", { id: id("model"), change: () => change({ model: this.model.value }) });
    this.facts = html("dl", { class: "facts" });
    const berField = field("BER (errors per bit)", this.ber, "0 to 0.5");
    const modelField = field("Errors come as", this.model, "");
    this.modelWords = modelField.querySelector("small");
    this.ber.after(this.slider);
    this.element = html("fieldset", { class: "link" }, html("legend", {}, TITLES[report.name] ?? report.name),
      html("div", { class: "controls" }, berField, field("Added latency (ms)", this.latency), modelField),
      this.facts);
  }

  /** Show again what the link has, because it did not take what was asked for. */
  restore() {
    this.#settings = "";
    this.show(this.#report);
  }

  show(report) {
    this.#report = report;
    const settings = [report.revision, report.model, report.ber, report.latency_ms].join();
    if (settings !== this.#settings) {
      this.#settings = settings;
      offer(this.model, Object.keys(report.models));
      this.model.value = report.model;
      this.model.disabled = this.model.options.length === 1;
      this.modelWords.textContent = report.models[report.model];
      this.slider.value = report.ber;
      this.ber.value = report.ber;
      this.latency.value = report.latency_ms;
    }
    const observed = report.observed_bits
      ? `${ber(report.observed_flipped_bits / report.observed_bits)} over ${bits(report.observed_bits)}` : "nothing sent yet";
    this.facts.replaceChildren(
      fact("BER configured", ber(report.ber)),
      fact("BER observed", observed, "since these settings; an image may bring a BER of its own"),
      fact("now", rate(report.bits_per_s)),
      fact("since the start", `${bits(report.bits)}, ${count(report.flipped_bits)} flipped`));
  }
}
