// SPDX-License-Identifier: Apache-2.0
// Elements. Texts of a run become text nodes and attributes, never markup.
import { visible } from "./model.js";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, typeof value === "string" ? visible(value) : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) element.append(child instanceof Node ? child : visible(String(child)));
  }
  return element;
}

export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

export function choice(label, options, value, onchange, more = {}) {
  const items = Object.entries(options).map(([key, text]) => el("option", { value: key, selected: key === value }, text));
  return el("label", {}, label, el("select", { ...more, onchange: (event) => onchange(event.target.value) }, items));
}

export function table(heads, rows, caption) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, k) => el("td", { "data-head": heads[k] }, cell)))))));
}
