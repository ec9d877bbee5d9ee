// SPDX-License-Identifier: Apache-2.0
// Choosing the image: dropped, chosen, pasted into reach by keyboard, or one of the samples.

import { html } from "./dom.js";
import { Trouble, asked } from "./problems.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];
const SAMPLES = [["rocket", "a rocket"], ["cup", "a cup"], ["woman", "a woman"]];
const SIDE = 112;

export class Picture extends EventTarget {
  blob = null;
  name = "";
  #canvas = html("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": "No image chosen yet" });
  #caption = html("figcaption", {}, "no image yet");

  constructor(host) {
    super();
    const input = html("input", {
      type: "file", id: "file", accept: TYPES.join(","), change: () => input.files[0] && this.take(input.files[0]),
    });
    const drop = html("div", { class: "drop" },
      html("figure", {}, this.#canvas, this.#caption),
      html("div", {}, html("label", { for: "file" }, "Drop an image here, or choose a file"), input,
        html("small", {}, "PNG, JPEG or WebP; the nodes see its centre square at 32 × 32 pixels.")));
    for (const name of ["dragover", "dragenter"]) drop.addEventListener(name, (event) => this.#over(event, drop, true));
    drop.addEventListener("dragleave", (event) => this.#over(event, drop, false));
    drop.addEventListener("drop", (event) => {
      this.#over(event, drop, false);
      if (event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
    });
    const samples = SAMPLES.map(([name, words]) => html("button",
      { type: "button", class: "sample", title: `${words}: a photograph in the public domain`, click: () => this.#sample(name) },
      html("img", { src: `samples/${name}.png`, alt: words, width: 48, height: 48 })));
    host.append(drop, html("div", { class: "samples" }, html("span", {}, "or a sample:"), samples));
  }

  /** Use a file. What is no image that the nodes take is told, and nothing changes. */
  async take(file) {
    try {
      if (!TYPES.includes(file.type)) throw new Trouble(`${file.name} is no PNG, JPEG or WebP image.`);
      await this.#show(file);
      this.blob = file;
      this.name = file.name;
      this.dispatchEvent(new Event("chosen"));
    } catch (error) {
      const message = error instanceof Trouble ? error.message : `${file.name} cannot be read as an image.`;
      this.dispatchEvent(new CustomEvent("refused", { detail: message }));
    }
  }

  async #sample(name) {
    try {
      const response = await asked(`samples/${name}.png`);
      await this.take(new File([await response.blob()], `${name}.png`, { type: "image/png" }));
    } catch (error) {
      this.dispatchEvent(new CustomEvent("refused", { detail: error.message }));
    }
  }

  async #show(file) {
    const bitmap = await createImageBitmap(file);
    const side = Math.min(bitmap.width, bitmap.height);
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, SIDE, SIDE);
    context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, SIDE, SIDE);
    this.#canvas.setAttribute("aria-label", `The centre square of ${file.name}`);
    this.#caption.textContent = file.name;
    bitmap.close();
  }

  #over(event, drop, inside) {
    event.preventDefault();
    drop.toggleAttribute("data-over", inside);
  }
}
