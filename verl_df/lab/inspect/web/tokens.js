// SPDX-License-Identifier: Apache-2.0
// A response token by token, its differences linked with those of the other side.
import { el } from "./dom.js";
import { number, visible } from "./model.js";
import { updateFigures } from "./update.js";

const SHOWN = { " ": "·", "\t": "→\t", "\n": "↵\n", "\r": "␍" };

// White space made visible; a token without any text is named.
export function shownToken(text) {
  return visible(text.replace(/[ \t\n\r]/g, (character) => SHOWN[character])) || "∅";
}

function tokenElement(side, t, gate, truth) {
  const classes = ["t", side.mask[t] ? "marked" : "", gate[t] > 0 ? "gated" : "", truth?.[t] ? "wrong" : ""].filter(Boolean).join(" ");
  return el("span", { class: classes, "data-t": t, "--g": gate[t] }, shownToken(side.tokens[t]));
}

function blockElement(number_, range, other, tokens) {
  const [length, lengthOther] = [range[1] - range[0], other[1] - other[0]];
  const label = `difference ${number_ + 1}: ${length || "no"} ${length === 1 ? "token" : "tokens"} here, ${lengthOther || "none"} on the other side`;
  return el("span", { class: "block", tabindex: "0", role: "group", "aria-label": label, "data-block": number_ }, length ? tokens : "▴");
}

// name: error or repair. blocks: [start, end] on this side with [start, end] on the other, in order.
export function tokenText(name, side, gate, truth, blocks) {
  const parts = [];
  let t = 0;
  const upTo = (end) => {
    const found = [];
    for (; t < end; t++) found.push(tokenElement(side, t, gate, truth));
    return found;
  };
  blocks.forEach(([range, other], k) => {
    parts.push(...upTo(range[0]), blockElement(k, range, other, upTo(range[1])));
  });
  parts.push(...upTo(side.tokens.length));
  return el("div", { class: `tokens ${name}`, "data-side": name }, parts);
}

export function tokenFigures(side, t, gate, truth, row) {
  const known = truth ? `, truth ${truth[t] ? "wrong" : "right"}` : "";
  return `token ${t} (id ${side.token_ids[t]}) “${shownToken(side.tokens[t])}”: mask ${side.mask[t]}, gate ${number(gate[t])}${known}${updateFigures(row, t)}`;
}

// Lights up a difference on both sides while the pointer or the focus is on it, and reads a token's figures.
export function link(root, describe) {
  const light = (event) => {
    const block = event.target.closest?.("[data-block]")?.dataset.block;
    for (const one of root.querySelectorAll("[data-block]")) one.classList.toggle("lit", one.dataset.block === block);
    const token = event.target.closest?.("[data-t]") ?? event.target.querySelector?.("[data-t]");
    const side = token?.closest("[data-side]")?.dataset.side;
    if (side) describe(side, Number(token.dataset.t));
  };
  root.addEventListener("pointerover", light);
  root.addEventListener("focusin", light);
}
