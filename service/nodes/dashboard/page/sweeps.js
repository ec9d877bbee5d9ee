// SPDX-License-Identifier: Apache-2.0
// The panel of the sweeps: start one, see how far each is, put its points into the charts, stop it, take it home.

import { byId, html } from "./dom.js";
import { save } from "./export.js";
import { asked } from "./problems.js";
import { sweepSource } from "./series.js";
import { SweepForm } from "./sweep-form.js";
import { served } from "./systems.js";
import { count, duration, speed } from "./units.js";

const AGAIN_MS = 2000;
const STATES = {
  waiting: "waits for the one before it", running: "running", unfinished: "not finished", cancelled: "cancelled",
  complete: "complete",
};

/** points: the PointSet behind the charts. */
export class Sweeps {
  #points;
  #rows = new Map();
  #catching = null;
  #form = new SweepForm((specification) => this.#start(specification));
  #status = html("p", { role: "status", class: "note", id: "sweep-status" });
  #list = html("tbody");

  constructor(points) {
    this.#points = points;
    const heads = ["in the charts", "sweep", "progress", "images", "stop", "save"];
    this.table = html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Sweeps", hidden: true },
      html("table", { class: "sweeps" },
        html("thead", {}, html("tr", {}, heads.map((head) => html("th", { scope: "col" }, head)))), this.#list));
    byId("sweeps-body").append(
      html("details", { id: "sweep-new" }, html("summary", {}, "A new sweep"), this.#form.element), this.#status, this.table);
  }

  /** What the edge says that it serves. */
  node(report) {
    const profiles = served(report);
    if (profiles.length) this.#form.serve(profiles, report.info.systems);
  }

  /** A sweep as it is now. */
  sweep(state) {
    let row = this.#rows.get(state.id);
    if (!row) {
      row = new SweepRow(state, {
        show: (shown) => this.#show(state.id, shown),
        ask: (what) => this.#ask(state.id, what),
        take: (format) => this.#take(state.id, format),
      });
      this.#rows.set(state.id, row);
      this.#list.prepend(row.element);
      this.table.hidden = false;
    }
    row.update(state);
  }

  /** Points of a sweep that grows: whoever looks on wants to see them. */
  grown({ sweep, points }) {
    const row = this.#rows.get(sweep);
    if (!row || row.hiddenByHand) return;
    row.box.checked = true;
    row.pointsTold += 1;
    this.#points.add(points, row.source);
  }

  /** The store no longer has a sweep. */
  gone(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    this.#points.remove(row.source);
    row.element.remove();
    this.#rows.delete(id);
  }

  /** Whether the store answers. Each process of the dashboard says so at its first look, before it tells of sweeps. */
  store({ available, message }) {
    this.#tell(available ? "" : `The sweeps' store cannot be reached: ${message}. Classifying goes on.`, !available);
    this.#catching = null;
    if (available && this.#rows.size > 0) this.#catchUp();
  }

  /** Nobody tells what came or went before a dashboard's first look: ask, until it can be said. */
  async #catchUp() {
    const mine = {};
    this.#catching = mine;
    while (this.#catching === mine) {
      try {
        await this.#asTheStoreHasIt();
        if (this.#catching === mine && mine.failed) this.#tell("", false);
        return;
      } catch (error) {
        if (this.#catching !== mine) return;
        mine.failed = true;
        this.#tell(`Sweeps may be out of date; trying again. ${error.message}`, true);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  /** Rows and points as the store has them; what events tell meanwhile is newer, and stays. */
  async #asTheStoreHasIt() {
    const before = new Map([...this.#rows].map(([id, row]) => [id, { told: row.told, units: row.unitsDone }]));
    const states = await (await asked("v1/sweeps")).json();
    const there = new Set(states.map(({ id }) => id));
    for (const [id, { told }] of before) {
      if (!there.has(id) && this.#rows.get(id)?.told === told) this.gone(id);
    }
    await Promise.all(states.map(async (state) => {
      const row = this.#rows.get(state.id), known = before.get(state.id);
      if (row?.told === known?.told) this.sweep(state);
      const grew = known && state.units_done > known.units;
      if (row && !row.hiddenByHand && (grew || row.box.checked)) await this.#draw(state.id, row);
    }));
  }

  /** All points of a sweep, unless somebody hides it, or more of them come, while they are fetched. */
  async #draw(id, row) {
    const { pointsTold } = row;
    const report = await (await asked(`v1/sweeps/${id}`)).json();
    if (row.hiddenByHand || row.pointsTold !== pointsTold) return;
    row.box.checked = true;
    this.#points.replace(report.points, row.source);
  }

  async #start(specification) {
    await this.#told(async () => {
      const response = await asked("v1/sweeps", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(specification()),
      });
      const state = await response.json();
      this.sweep(state);
      const row = this.#rows.get(state.id);
      await this.#show(state.id, true);
      return `${row.source}: ${STATES[state.state]}.`;
    });
  }

  async #show(id, shown) {
    const row = this.#rows.get(id);
    row.hiddenByHand = !shown;
    if (!shown) {
      this.#points.remove(row.source);
      return;
    }
    await this.#told(async () => {
      await this.#draw(id, row);
      return "";
    });
  }

  async #ask(id, what) {
    await this.#told(async () => {
      this.sweep(await (await asked(`v1/sweeps/${id}/${what}`, { method: "POST" })).json());
      return `${this.#rows.get(id).source}: ${what === "cancel" ? "asked to stop" : "goes on"}.`;
    });
  }

  async #take(id, format) {
    await this.#told(async () => {
      const response = await asked(`v1/sweeps/${id}/export?format=${format}`);
      save(await response.blob(), `spikelink-sweep-${id.slice(0, 12)}.${format}`);
      return "";
    });
  }

  async #told(act) {
    try {
      this.#tell(await act(), false);
    } catch (error) {
      this.#tell(error.message, true);
    }
  }

  #tell(message, bad) {
    this.#status.textContent = message;
    this.#status.toggleAttribute("data-bad", bad);
  }
}

class SweepRow {
  hiddenByHand = false;
  /** How often events have told of it, and of its points. */
  told = 0;
  pointsTold = 0;
  #state = {};

  constructor(state, act) {
    this.source = sweepSource(state);
    this.box = html("input", {
      type: "checkbox", "aria-label": `Show ${this.source} in the charts`, change: (event) => act.show(event.target.checked),
    });
    this.bar = html("progress", { max: 1, value: 0, "aria-label": `Progress of ${this.source}` });
    this.words = html("span", { class: "note" });
    this.images = html("td");
    this.button = html("button", { type: "button", click: () => act.ask(goesOn(this.#state) ? "cancel" : "resume") });
    const file = (format) => html("button", {
      type: "button", "aria-label": `Save ${this.source} as ${format.toUpperCase()}`, click: () => act.take(format),
    }, format.toUpperCase());
    const title = `${state.profile}, weights ${state.weights_sha256.slice(0, 12)}, SpikeLink ${state.version}, id ${state.id}`;
    this.element = html("tr", { "data-sweep": state.id }, html("td", {}, this.box),
      html("th", { scope: "row", title }, state.name ?? "", html("small", {}, state.id.slice(0, 8))),
      html("td", { class: "progress" }, this.bar, this.words), this.images,
      html("td", {}, this.button), html("td", { class: "row" }, file("csv"), file("json")));
  }

  get unitsDone() {
    return this.#state.units_done;
  }

  update(state) {
    this.told += 1;
    this.#state = state;
    this.element.dataset.state = state.state;
    this.bar.max = Math.max(1, state.units_total);
    this.bar.value = state.units_done;
    const done = `${count(state.units_done)} of ${count(state.units_total)} units`;
    const pace = state.images_per_s === null ? [] : [speed(state.images_per_s), `${duration(state.time_left_s)} left`];
    this.words.textContent = [STATES[state.state], done, ...pace, state.message].filter(Boolean).join(" · ");
    this.images.textContent = `${count(state.images)} × ${state.seeds.length} ${state.seeds.length === 1 ? "seed" : "seeds"}`;
    this.button.textContent = goesOn(state) ? "Cancel" : "Resume";
    this.button.setAttribute("aria-label", `${this.button.textContent} ${this.source}`);
    this.button.hidden = state.state === "complete";
  }
}

function goesOn({ state }) {
  return state === "running" || state === "waiting";
}
