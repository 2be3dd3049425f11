// SPDX-License-Identifier: Apache-2.0
// The list of pairs with search, filters and sorting.
import { choice, el } from "./dom.js";
import { number, percent, REASONS, selectRows, SORTS, writeHash } from "./model.js";

const PER_PAGE = 100;

function controls(app) {
  const { state } = app;
  const set = (name) => (value) => app.go({ [name]: value, page: "", pair: "" });
  const reasons = Object.fromEntries([["", "any"], ...Object.entries(REASONS)]);
  return el("form", { class: "controls", role: "search", "aria-label": "Pairs", onsubmit: (event) => event.preventDefault() },
    el("label", {}, "Search ", el("input", { id: "q", type: "search", value: state.q, placeholder: "question, answer, prompt id", oninput: (event) => app.go({ q: event.target.value, page: "" }, true) })),
    el("label", {}, "Step ", el("input", { id: "step", value: state.step, size: 7, inputmode: "numeric", placeholder: "3 or 3-8", onchange: (event) => set("step")(event.target.value) })),
    choice("Repair ", { "": "any", repaired: "feasible", infeasible: "not feasible", empty: "empty mask" }, state.state, set("state"), { id: "state" }),
    choice("Rejected because ", reasons, state.reason, set("reason"), { id: "reason" }),
    choice("Sort by ", SORTS, state.sort, set("sort"), { id: "sort" }),
    el("label", {}, el("input", { id: "down", type: "checkbox", checked: Boolean(state.down), onchange: (event) => set("down")(event.target.checked ? "1" : "") }), " largest first"));
}

const HEADS = ["pair", "step", "question", "answer", "edit ratio", "density", "against truth", "rejected"];

function listRow(app, row) {
  const href = writeHash({ ...app.state, pair: row.line });
  const cells = [
    row.step, row.question, row.answer, percent(row.ratio), percent(row.density),
    row.disagreement === null ? "–" : `${percent(row.disagreement)} (P ${number(row.precision)}, R ${number(row.recall)})`,
    `${row.reasons.join(", ") || "none"}${row.ratio === null ? ": not feasible" : row.empty ? "; empty mask" : ""}`,
  ];
  return el("tr", { "data-line": row.line },
    el("th", { scope: "row" }, el("a", { href }, row.line)),
    cells.map((cell, k) => el("td", { "data-head": HEADS[k + 1] }, cell)));
}

function results(app, rows) {
  const pages = Math.max(1, Math.ceil(rows.length / PER_PAGE));
  const page = Math.min(Math.max(1, Number(app.state.page) || 1), pages);
  const shown = rows.slice((page - 1) * PER_PAGE, page * PER_PAGE);
  const turn = (to, text) => el("a", { href: writeHash({ ...app.state, page: to === 1 ? "" : to, pair: "" }), "aria-disabled": to < 1 || to > pages ? "true" : null, class: to < 1 || to > pages ? "off" : null }, text);
  return [
    el("p", { class: "count", role: "status" }, `${rows.length} of ${app.run.rows.length} pairs; page ${page} of ${pages}. `,
      pages > 1 ? el("nav", { "aria-label": "Pages" }, turn(page - 1, "previous"), " ", turn(page + 1, "next")) : null,
      " Keys: j and k move, Enter opens, / searches, Escape goes back."),
    el("div", { class: "scroll" }, el("table", { class: "list" },
      el("thead", {}, el("tr", {}, HEADS.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, shown.map((row) => listRow(app, row))))),
  ];
}

// The rows that the page's address selects, kept until address or index change.
export function selected(app) {
  const key = writeHash({ ...app.state, pair: "", page: "", lens: "", view: "" }) + app.run.rows.length + "/" + app.run.generation;
  if (app.selection?.key !== key) app.selection = { key, rows: selectRows(app.run.rows, app.state) };
  return app.selection.rows;
}

export function listView(app) {
  const before = document.getElementById("pair-list");
  const found = results(app, selected(app));
  if (before) { // keeps what is being typed
    before.querySelector(".results").replaceChildren(...found);
    for (const name of ["step", "state", "reason", "sort"]) document.getElementById(name).value = app.state[name];
    if (document.activeElement.id !== "q") document.getElementById("q").value = app.state.q;
    document.getElementById("down").checked = Boolean(app.state.down);
    return before;
  }
  return el("section", { id: "pair-list", "aria-label": "Pairs" }, controls(app), el("div", { class: "results" }, found));
}

// j and k: the next or previous link of the list.
export function moveInList(by) {
  const links = [...document.querySelectorAll("#pair-list tbody a")];
  const next = links[Math.max(0, Math.min(links.length - 1, links.indexOf(document.activeElement) + by))];
  next?.focus();
}
