// SPDX-License-Identifier: Apache-2.0
// The page: its address says what it shows.
import { curvesView, flagsView } from "./curves.js";
import { Run } from "./data.js";
import { el } from "./dom.js";
import { LENS_DEFAULTS } from "./lens.js";
import { groupsView } from "./groups.js";
import { listView, moveInList } from "./list.js";
import { DEFAULTS, readHash, writeHash } from "./model.js";
import { pairView } from "./pair.js";
import { redFlags } from "./flags.js";
import { unusedView } from "./unused.js";

const VIEWS = { pairs: "Pairs", curves: "Curves", unused: "Not used", flags: "Red flags" };
const [POLL_MS, REDRAW_MS] = [5000, 2000];
const main = document.getElementById("main");

const app = { run: new Run(), state: readHash(location.hash), lens: { ...LENS_DEFAULTS }, home: DEFAULTS, drawn: 0 };

// quiet: without an entry in the browser's history, while something is typed.
app.go = (change, quiet = false) => {
  const hash = writeHash({ ...app.state, ...change });
  if (!quiet) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, "", hash);
  app.state = readHash(hash);
  app.draw();
};

function navigationBar() {
  const flags = redFlags(app.run.facts.curves).length;
  document.getElementById("views").replaceChildren(...Object.entries(VIEWS).map(([view, label]) =>
    el("a", { href: writeHash({ ...DEFAULTS, view }) || "#", "aria-current": app.state.view === view ? "page" : null },
      view === "flags" && flags ? `${label} (${flags})` : label)));
  const { rows, complete } = app.run;
  document.getElementById("loaded").textContent = `${rows.length} pairs${complete ? "" : " so far"}${app.run.source.live ? "" : ", exported"}`;
  document.getElementById("problems").replaceChildren(...[...app.run.facts.problems, ...(app.problem ? [app.problem] : [])].map((text) => el("p", {}, text)));
}

async function current() {
  const { view, pair } = app.state;
  if (view === "curves") return curvesView(app);
  if (view === "groups") return groupsView(app);
  if (view === "unused") return unusedView(app);
  if (view === "flags") return flagsView(app);
  if (!pair) return listView(app);
  const row = app.run.byLine.get(Number(pair));
  if (row) return pairView(app, row);
  return el("p", {}, app.run.complete ? `There is no pair ${pair}. ` : `Pair ${pair} is not loaded yet. `, el("a", { href: writeHash({ ...app.state, pair: "" }) }, "To the list"));
}

app.draw = async () => {
  if (!app.run.facts) return; // drawn when they have come
  navigationBar();
  const turn = ++app.drawn; // a later call overtakes a slow one
  let content;
  try {
    content = await current();
  } catch (error) {
    content = el("p", { role: "alert" }, `This cannot be shown: ${error.message}`);
  }
  if (turn !== app.drawn) return;
  if (main.firstElementChild === content) return;
  const focused = document.activeElement?.id;
  main.replaceChildren(content);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
};

window.addEventListener("hashchange", () => {
  if (location.hash === "#main") return;
  const before = app.state;
  app.state = readHash(location.hash);
  const moved = before.view !== app.state.view || before.pair !== app.state.pair;
  app.draw().then(() => {
    if (!moved) return;
    window.scrollTo(0, 0);
    const row = app.state.pair ? null : document.querySelector(`tr[data-line="${Number(before.pair)}"] a`);
    (row || main).focus({ preventScroll: !row });
  });
});

const KEYS = {
  j: () => (app.state.pair ? document.getElementById("pair-next")?.click() : moveInList(1)),
  k: () => (app.state.pair ? document.getElementById("pair-previous")?.click() : moveInList(-1)),
  "/": () => (app.state.view === "pairs" && !app.state.pair ? document.getElementById("q").focus() : app.go({ view: "pairs", pair: "" })),
  Escape: () => app.state.pair && app.go({ pair: "" }),
};

window.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && typing) return typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

document.getElementById("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
});

// Whether new data may be drawn at once: not under somebody who reads a pair, or has opened charts.
function waiting() {
  if (app.state.view === "pairs") return !app.state.pair || !document.getElementById("pair");
  return !main.querySelector("details[open]");
}

async function refresh() {
  const first = !app.run.facts;
  try {
    const changed = await app.run.readFacts();
    document.getElementById("title").textContent = document.title = app.run.facts.title;
    if (first) await app.draw();
    let drawn = 0; // sorting the list again after each part would cost more than reading it
    const fresh = await app.run.readIndex(() => {
      navigationBar();
      if (app.state.view !== "pairs" || !waiting() || Date.now() - drawn < REDRAW_MS) return;
      drawn = Date.now();
      app.draw();
    });
    app.problem = "";
    navigationBar();
    if ((fresh || changed) && waiting()) await app.draw();
  } catch (error) {
    app.problem = `The run cannot be read: ${error.message}`;
    if (app.run.facts) navigationBar();
    else document.getElementById("problems").replaceChildren(el("p", {}, app.problem));
  }
}

async function keepUp() {
  await refresh();
  if (app.run.source.live) setTimeout(keepUp, POLL_MS);
}

keepUp();
