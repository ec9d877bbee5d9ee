// SPDX-License-Identifier: Apache-2.0
// Making and filling elements. Text is always text: nothing that a node says is parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes that are null, undefined or false are left out; functions become listeners. */
export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A label, what it labels, and a hint under it. */
export function field(label, control, hint = null) {
  const id = control.id;
  const note = hint !== null && html("small", { id: `${id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return html("div", { class: "field" }, html("label", { for: id }, label), control, note || null);
}

/** Fill a select with what can be chosen; the choice stays where it still can be made. */
export function offer(select, values, label = (value) => value) {
  if (values.join() === [...select.options].map((option) => option.value).join()) return;
  const chosen = select.value;
  select.replaceChildren(...values.map((value) => html("option", { value }, label(value))));
  if (values.includes(chosen)) select.value = chosen;
}

/** A term and its value, for a list of facts. */
export function fact(term, value, title = null) {
  return html("div", {}, html("dt", {}, term), html("dd", { title }, value));
}
