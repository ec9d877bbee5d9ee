// SPDX-License-Identifier: Apache-2.0
// What a sweep shall measure, as a form: systems with their thresholds or rates, BERs, noise seeds, images.

import { field, html, offer } from "./dom.js";
import { Trouble } from "./problems.js";
import { SYSTEMS, inOrder, look, takes } from "./systems.js";

const DATA_SETS = { "cifar100-test": "CIFAR-100, test images", "cifar100-validation": "CIFAR-100, validation split" };
const BERS = "0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3";

/** start(specification) is called with what POST /v1/sweeps takes. */
export class SweepForm {
  #rows = new Map();
  /** By name: what the edge says of each profile that it serves. */
  #profiles = {};
  /** By name: what it says of each system. */
  #systems = {};
  /** What the rows of systems were made from. */
  #offered = "";

  constructor(start) {
    this.profile = html("select", { id: "sweep-profile", change: () => this.#offer() });
    this.profileField = field("Profile", this.profile, "backbone, codec and their weights");
    this.name = html("input", { id: "sweep-name", type: "text", maxlength: 80, autocomplete: "off", placeholder: "none" });
    this.bers = list("sweep-bers", BERS);
    this.seeds = list("sweep-seeds", "0");
    this.dataSet = html("select", { id: "sweep-data" },
      Object.entries(DATA_SETS).map(([value, text]) => html("option", { value }, text)));
    this.count = html("input", { id: "sweep-count", type: "number", min: 1, max: 10_000, step: 1, value: 200, required: true });
    this.halfWidth = html("input", {
      id: "sweep-half-width", type: "number", min: 0.1, max: 49, step: "any", placeholder: "never",
    });
    this.systems = html("fieldset", { class: "sweep-systems" });
    this.button = html("button", { type: "submit", class: "main", id: "sweep-start" }, "Start the sweep");
    this.element = html("form", { id: "sweep", class: "sweep-form", novalidate: true, submit: (event) => {
      event.preventDefault();
      start(() => this.#specification());
    } }, this.systems, html("div", { class: "controls" },
      this.profileField,
      field("BERs (errors per bit)", this.bers, "0 to 0.5, separated by commas"),
      field("Noise seeds", this.seeds, "separated by commas; each image is sent once a seed"),
      field("Images of", this.dataSet, "in the order of their ids"),
      field("How many images", this.count),
      field("Stop a point at ± points of accuracy", this.halfWidth, "once its 95 % interval is as narrow"),
      field("Name", this.name, "for lists")), html("div", { class: "row" }, this.button));
    this.#offer();
  }

  /** What the edge says that it serves. */
  serve(profiles, systems) {
    this.#systems = systems;
    this.#profiles = Object.fromEntries(profiles.map((each) => [each.name, each]));
    offer(this.profile, Object.keys(this.#profiles));
    this.#offer();
  }

  /** The systems of the chosen profile; what is filled in stays as long as they are the same. */
  #offer() {
    this.profileField.hidden = this.profile.options.length < 2;
    const profile = this.#profiles[this.profile.value];
    const served = profile?.systems ?? Object.keys(SYSTEMS);
    const offered = JSON.stringify([profile?.name, served, profile?.rates]);
    if (offered !== this.#offered) this.#draw(served, profile);
    this.#offered = offered;
    for (const [system, { setting, threshold }] of this.#rows) {
      if (threshold) setting.placeholder = `${profile?.thresholds[system] ?? "the profile's"}`;
    }
  }

  #draw(served, profile) {
    const chosen = new Set([...this.#rows].filter(([, { box }]) => box.checked).map(([system]) => system));
    this.#rows.clear();
    const rows = inOrder(served).map((system) => this.#row(system, takes(system, this.#systems, profile),
      chosen.size ? chosen.has(system) : system === "snn-sc-harq"));
    this.systems.replaceChildren(html("legend", {}, "Systems"), ...rows);
  }

  #row(system, { threshold, steps, unit, errorFree }, checked) {
    const { label } = look(system);
    const id = `sweep-of-${system}`;
    const box = html("input", { type: "checkbox", id, checked, change: () => { if (setting) setting.disabled = !box.checked; } });
    const setting = threshold || steps ? html("input", {
      type: "text", id: `${id}-settings`, autocomplete: "off", disabled: !checked,
      "aria-label": threshold ? `Thresholds of ${label}` : `${unit} of ${label}`,
      placeholder: threshold ? "the profile's" : null, value: steps ? `${steps[0]}, ${steps[1]}` : null,
    }) : null;
    this.#rows.set(system, { box, setting, threshold, errorFree });
    return html("div", { class: "sweep-system" }, html("label", { for: id }, box, label),
      setting && html("span", {}, threshold ? "thresholds θ " : `t (${unit}) `, setting));
  }

  /** Throws a Trouble that names what is wrong. */
  #specification() {
    const series = [...this.#rows].filter(([, { box }]) => box.checked).map(([system, { setting, threshold, errorFree }]) => {
      const values = setting ? numbers(setting.value, `${look(system).label}: ${threshold ? "thresholds" : "t"}`) : [];
      return { system, ...(values.length && { [threshold ? "thresholds" : "t"]: values }), ...(errorFree && { bers: [0] }) };
    });
    if (!series.length) throw new Trouble("Choose at least one system.");
    const wrong = [this.count, this.halfWidth].find((each) => !each.validity.valid);
    if (wrong) throw new Trouble(`${wrong.labels[0].textContent}: ${wrong.validationMessage}`);
    const name = this.name.value.trim();
    return {
      ...(name && { name }), ...(this.profile.value && { profile: this.profile.value }), series,
      bers: required(this.bers, "BERs"), seeds: required(this.seeds, "Noise seeds"),
      images: { data_set: this.dataSet.value, count: this.count.valueAsNumber },
      ...(this.halfWidth.value && { stop_at_half_width: this.halfWidth.valueAsNumber }),
    };
  }
}

function list(id, value) {
  return html("input", { id, type: "text", value, required: true, autocomplete: "off", inputmode: "text" });
}

/** "0, 0.1" -> [0, 0.1]. */
function numbers(text, what) {
  const parts = text.split(/[\s,;]+/).filter(Boolean);
  const values = parts.map(Number);
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw new Trouble(`${what}: ${parts[wrong]} is no number.`);
  return values;
}

function required(input, what) {
  const values = numbers(input.value, what);
  if (!values.length) throw new Trouble(`${what}: at least one is needed.`);
  return values;
}
