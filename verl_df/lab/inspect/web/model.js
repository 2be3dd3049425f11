// SPDX-License-Identifier: Apache-2.0
// What the page shows as a function of its address, and of the index.

export const DEFAULTS = { view: "pairs", q: "", step: "", state: "", reason: "", sort: "line", down: "", page: "", pair: "", lens: "run" };
export const SORTS = {
  line: "order written",
  step: "step",
  ratio: "edit ratio",
  density: "density",
  disagreement: "disagreement with truth",
  tokens: "length",
};
export const REASONS = {
  wrong: "the answer is wrong",
  unfinished: "cut by the length limit",
  placeholder: "holds a placeholder of a picture",
  empty: "empty",
  identical: "the same tokens as the wrong response, judged right",
  observation: "changes what a tool or an environment wrote",
  prompt_too_long: "not asked: the prompt of the repair model is too long",
  no_answer: "no answer of the repair engine, or not in time",
  other_tokens: "token ids that the policy's tokenizer reads otherwise",
};
export const SKIPS = {
  all_correct: "every rollout was right",
  no_correct: "no rollout was right, and there was no other reference",
  no_repairable: "every wrong rollout was cut by the length limit",
};

// "#step=3&pair=17" to an object; unknown names are left out.
export function readHash(text) {
  const state = { ...DEFAULTS };
  for (const part of text.replace(/^#/, "").split("&")) {
    const at = part.indexOf("=");
    if (at < 0 || !Object.hasOwn(DEFAULTS, part.slice(0, at))) continue;
    try {
      state[part.slice(0, at)] = decodeURIComponent(part.slice(at + 1));
    } catch {
      // half an escape, as an address cut by a mail program has it
    }
  }
  if (!Object.hasOwn(SORTS, state.sort)) state.sort = DEFAULTS.sort;
  return state;
}

export function writeHash(state) {
  const given = Object.keys(DEFAULTS).filter((name) => String(state[name]) !== DEFAULTS[name]);
  return "#" + given.map((name) => `${name}=${encodeURIComponent(state[name])}`).join("&");
}

export function rowObject(columns, values) {
  const row = Object.fromEntries(columns.map((name, number) => [name, values[number]]));
  row.text = `${row.uid}\n${row.question}\n${row.answer}`.toLowerCase();
  return row;
}

const STATES = {
  repaired: (row) => row.ratio !== null,
  infeasible: (row) => row.ratio === null,
  empty: (row) => row.empty,
};

// Rows that pass search and filters, in the wanted order; rows without a value come last whatever the order.
export function selectRows(rows, state) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const test = STATES[state.state] || (() => true);
  const [low, high] = stepRange(state.step);
  const found = rows.filter(
    (row) =>
      row.step >= low && row.step <= high && test(row) &&
      (!state.reason || row.reasons.includes(state.reason)) && words.every((word) => row.text.includes(word)),
  );
  const sign = state.down ? -1 : 1;
  const key = state.sort;
  return found.sort((a, b) => {
    if ((a[key] === null) !== (b[key] === null)) return a[key] === null ? 1 : -1;
    return sign * (a[key] - b[key]) || a.line - b.line;
  });
}

// "3" or "3-8"; anything else is every step.
export function stepRange(text) {
  const match = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(text);
  return match ? [Number(match[1]), Number(match[2] ?? match[1])] : [-Infinity, Infinity];
}

const HIDDEN =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{d800}-\u{dfff}\u{e0000}-\u{e007f}]/gu;

// Characters that show nothing or turn the order of others, as escapes: verl_df/lab/visible.py.
export function visible(text) {
  return text.replace(HIDDEN, (character) => {
    const code = character.codePointAt(0).toString(16);
    return code.length < 3 ? `\\x${code.padStart(2, "0")}` : code.length < 5 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
  });
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)}%`;
}
