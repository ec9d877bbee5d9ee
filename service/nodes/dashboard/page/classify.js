// SPDX-License-Identifier: Apache-2.0
// The panel of one image: what to send and how, the rounds as they end, the answer or what went wrong.

import { Answer } from "./answer.js";
import { byId, field, html, offer } from "./dom.js";
import { eventsOf } from "./event-stream.js";
import { Ladder } from "./ladder.js";
import { Picture } from "./picture.js";
import { Trouble, asked, words } from "./problems.js";
import { SYSTEMS, inOrder, look, served, takes } from "./systems.js";

export class Classify {
  #picture = new Picture(byId("picture"));
  #ladder = new Ladder(byId("ladder"));
  #answer = new Answer(byId("answer"));
  #running = null;
  /** By name: what the edge says of each profile that it serves. */
  #profiles = {};
  /** By name: what the edge says of each system. */
  #systems = {};

  constructor() {
    this.profile = html("select", { id: "profile", name: "profile", change: () => this.#offer() });
    this.system = html("select", { id: "system", name: "system", change: () => this.#fit() });
    this.ber = number("ber", { min: 0, max: 0.5, step: "any", placeholder: "the link's" });
    this.threshold = number("threshold", { min: -1, max: 1, step: "any", placeholder: "the profile's" });
    this.t = number("t", { step: 1 });
    this.seed = number("seed", { min: 0, max: 2 ** 53 - 1, step: 1, placeholder: "drawn" });
    this.send = html("button", { id: "send", type: "submit", class: "main", disabled: true }, "Send");
    this.stop = html("button", { id: "stop", type: "button", hidden: true, click: () => this.#running?.abort() }, "Stop");
    this.profileField = field("Profile", this.profile, "backbone, codec and their weights");
    this.systemField = field("System", this.system, "what is sent, and who decides");
    this.thresholdField = field("Threshold θ", this.threshold, "score that earns an ACK, −1 to 1");
    this.tField = field("Rate t", this.t, "time steps");
    byId("terms").append(
      this.profileField,
      this.systemField,
      field("BER (errors per bit)", this.ber, "0 to 0.5; empty: as the channel is set"),
      this.thresholdField, this.tField,
      field("Noise seed", this.seed, "the same seed, the same noise"),
      html("div", { class: "send" }, this.send, this.stop));
    this.#offer();
    byId("classify").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run();
    });
    this.#picture.addEventListener("chosen", () => {
      this.send.disabled = false;
      this.#clear();
      this.#run();
    });
    this.#picture.addEventListener("refused", (event) => this.#trouble(event.detail));
  }

  /** What the edge says that it serves. */
  node(report) {
    const profiles = served(report);
    if (!profiles.length) return;
    this.#profiles = Object.fromEntries(profiles.map((each) => [each.name, each]));
    this.#systems = report.info.systems;
    offer(this.profile, Object.keys(this.#profiles));
    this.#offer();
  }

  get #chosen() {
    return this.#profiles[this.profile.value];
  }

  #offer() {
    this.profileField.hidden = this.profile.options.length < 2;
    const systems = this.#chosen?.systems ?? Object.keys(SYSTEMS);
    offer(this.system, inOrder(systems), (name) => look(name).label);
    this.#fit();
  }

  /** Show what the chosen system takes. */
  #fit() {
    const { words, threshold, errorFree, steps, unit } = takes(this.system.value, this.#systems, this.#chosen);
    if (words) this.systemField.querySelector("small").textContent = words;
    this.thresholdField.hidden = !threshold;
    this.tField.hidden = !steps;
    this.ber.disabled = Boolean(errorFree);
    const theta = this.#chosen?.thresholds[this.system.value];
    this.threshold.placeholder = theta === undefined ? "the profile's" : `${theta}, the profile's`;
    if (!steps) return;
    [this.t.min, this.t.max] = steps;
    if (!this.t.value || Number(this.t.value) < steps[0]) this.t.value = steps[0];
    this.tField.querySelector("small").textContent = `${unit}, ${steps[0]} to ${steps[1]}`;
  }

  async #run() {
    const wrong = [this.ber, this.threshold, this.t, this.seed].find((each) => !each.closest("[hidden]") && !each.validity.valid);
    if (wrong) {
      wrong.focus();
      this.#trouble(`${wrong.labels[0].textContent}: ${wrong.validationMessage}`);
      return;
    }
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    this.#busy(true);
    this.#clear();
    try {
      await this.#exchange(running.signal);
    } catch (error) {
      if (error.name !== "AbortError") this.#trouble(error instanceof Trouble ? error.message : `It broke off: ${error.message}`);
      else if (running === this.#running) this.#trouble("Stopped.");
    } finally {
      if (running === this.#running) this.#busy(false);
    }
  }

  async #exchange(signal) {
    const response = await asked(`v1/classify?${this.#query()}`, {
      method: "POST", signal, body: this.#picture.blob,
      headers: { "Content-Type": this.#picture.blob.type, Accept: "text/event-stream, application/json;q=0.5" },
    });
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      const result = await response.json();
      this.#ladder.begin(result.threshold);
      for (const round of result.rounds) this.#ladder.add(round);
      this.#answer.show(result);
      return;
    }
    let ended = false;
    for await (const { name, data } of eventsOf(response)) {
      if (signal.aborted) return;
      if (name === "start") this.#ladder.begin(data.threshold);
      if (name === "round") this.#ladder.add(data);
      if (name === "result") this.#answer.show(data);
      if (name === "problem") throw new Trouble(words(data));
      ended ||= name === "result";
    }
    if (!ended) throw new Trouble("The answer broke off before its end. Send the image again.");
  }

  #query() {
    const query = new URLSearchParams({ system: this.system.value });
    if (this.profile.value) query.set("profile", this.profile.value);
    for (const each of [this.ber, this.threshold, this.t, this.seed]) {
      if (each.value !== "" && !each.disabled && !each.closest("[hidden]")) query.set(each.name, each.value);
    }
    return query;
  }

  /** What was shown is not of what comes now. */
  #clear() {
    this.#trouble(null);
    this.#ladder.clear();
    this.#answer.clear();
  }

  #busy(busy) {
    this.stop.hidden = !busy;
    this.send.textContent = busy ? "Sending …" : "Send again";
    byId("ladder").setAttribute("aria-busy", String(busy));
  }

  #trouble(message) {
    byId("trouble").hidden = !message;
    byId("trouble").textContent = message ?? "";
  }
}

function number(name, attributes) {
  return html("input", { id: name, name, type: "number", inputmode: "decimal", autocomplete: "off", ...attributes });
}
