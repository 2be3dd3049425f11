// SPDX-License-Identifier: Apache-2.0
// The gates of verl_df/method/gates.py, recomputed in the page; a test compares the two.

// Python's white space, which is not JavaScript's.
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const BLANK = SPACE.replace("\\t-\\r", "\\t\\x0b-\\r"); // without the line feed
const LINE = `\\n(?:[${BLANK}]*\\n)*`;
// (?=(...))\1 takes its match without a way back, as Python's possessive ++ does.
const SEPARATORS = {
  blank_line: `\\n(?:[${BLANK}]*\\n)+`,
  line: LINE,
  sentence: `(?<![.!?])(?=([.!?]+))\\1(?=(["')\\]]*))\\2(?=[${SPACE}]|$)|[。！？]+|${LINE}`,
};

// Runs of marked tokens as half-open [start, end] pairs.
export function segments(mask) {
  const runs = [];
  for (let t = 0; t < mask.length; t++) {
    if (!mask[t]) continue;
    if (t && mask[t - 1]) runs[runs.length - 1][1] = t + 1;
    else runs.push([t, t + 1]);
  }
  return runs;
}

// Step number of each token, from 0; see split_steps.
export function splitSteps(tokens, separator) {
  const ends = [];
  let length = 0;
  for (const text of tokens) ends.push((length += text.length));
  const begins = new Uint8Array(tokens.length + 1);
  let token = 0;
  for (const match of tokens.join("").matchAll(new RegExp(SEPARATORS[separator], "g"))) {
    const last = match.index + match[0].length - 1;
    while (token < ends.length && ends[token] <= last) token++;
    if (token + 1 < tokens.length) begins[token + 1] = 1;
  }
  let step = 0;
  return tokens.map((_, t) => (step += begins[t]));
}

function firstSegment(mask) {
  const [first] = segments(mask);
  return mask.map((_, t) => (first && first[0] <= t && t < first[1] ? 1 : 0));
}

function widen(mask, steps) {
  const marked = new Set(steps.filter((_, t) => mask[t]));
  return steps.map((step) => (marked.has(step) ? 1 : 0));
}

function soft(mask, { alpha, tau }) {
  const gate = mask.map(() => 0);
  const runs = segments(mask);
  for (const [start, end] of runs) {
    const centre = { segment_start: start, segment_centre: Math.floor((start + end - 1) / 2), first_difference: runs.length ? runs[0][0] : 0 }[tau];
    for (let t = start; t < end; t++) gate[t] = Math.exp(-alpha * Math.abs(t - centre));
  }
  return gate;
}

// options: kind (binary, soft), alpha, tau, level (token, step), separator, segments (all, first).
export function buildGate(mask, tokens, options) {
  let marked = mask.map((value) => (value ? 1 : 0));
  if (options.segments === "first") marked = firstSegment(marked);
  if (options.level === "step") marked = widen(marked, splitSteps(tokens, options.separator));
  return options.kind === "soft" ? soft(marked, options) : marked;
}

// A gate's values in another order, the same for the same seed.
export function randomGate(gate, seed) {
  const shuffled = [...gate];
  let state = seed >>> 0;
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
  for (let t = shuffled.length - 1; t > 0; t--) {
    const other = Math.floor(random() * (t + 1));
    [shuffled[t], shuffled[other]] = [shuffled[other], shuffled[t]];
  }
  return shuffled;
}

// Share of marked tokens, and precision and recall against the truth (null where there is none, or nothing to divide).
export function gateFigures(gate, truth) {
  const count = (test) => gate.reduce((sum, value, t) => sum + (test(value > 0, t) ? 1 : 0), 0);
  const marked = count((on) => on);
  const share = (part, whole) => (whole ? part / whole : null);
  const density = share(marked, gate.length);
  if (!truth) return { density, precision: null, recall: null, differing: null };
  const hits = count((on, t) => on && truth[t]);
  return {
    density,
    precision: share(hits, marked),
    recall: share(hits, truth.reduce((sum, value) => sum + (value ? 1 : 0), 0)),
    differing: share(count((on, t) => on !== Boolean(truth[t])), gate.length),
  };
}
