// SPDX-License-Identifier: Apache-2.0
"use strict";
// Words as a byte-pair tokenizer would begin: a word with the space before it, a digit, a run of signs, other space.
function words(text) {
  return text.match(/ ?\p{L}[\p{L}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+|\s+/gu) || [];
}

// Above this many pairs of words the middle is shown as replaced, so that typing stays quick.
const MOST_PAIRS = 4000000;

// The shortest edit path: [{kind: "same" | "delete" | "insert", words: [...]}] and its length in words.
function difference(before, after) {
  let start = 0, end = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  while (end < Math.min(before.length, after.length) - start &&
         before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  const a = before.slice(start, before.length - end), b = after.slice(start, after.length - end);
  const middle = a.length * b.length > MOST_PAIRS ? replaced(a, b) : shortest(a, b);
  const runs = [];
  const add = (kind, word) => {
    const last = runs[runs.length - 1];
    if (last && last.kind === kind) last.words.push(word);
    else runs.push({kind, words: [word]});
  };
  before.slice(0, start).forEach((word) => add("same", word));
  middle.edits.forEach(([kind, word]) => add(kind, word));
  before.slice(before.length - end, before.length).forEach((word) => add("same", word));
  return {runs, distance: middle.distance};
}

function replaced(a, b) {
  const edits = [...a.map((word) => ["delete", word]), ...b.map((word) => ["insert", word])];
  return {edits, distance: Math.max(a.length, b.length)};
}

function shortest(a, b) {
  const width = b.length + 1, cost = new Int32Array((a.length + 1) * width);
  for (let i = 0; i <= a.length; i++) {
    for (let j = 0; j <= b.length; j++) {
      const here = i * width + j;
      if (i === 0 || j === 0) cost[here] = i + j;
      else if (a[i - 1] === b[j - 1]) cost[here] = cost[here - width - 1];
      else cost[here] = 1 + Math.min(cost[here - width - 1], cost[here - width], cost[here - 1]);
    }
  }
  const edits = [];
  let i = a.length, j = b.length;
  while (i > 0 || j > 0) {
    const here = i * width + j;
    if (i > 0 && j > 0 && a[i - 1] === b[j - 1]) {
      i--, j--;
      edits.push(["same", a[i]]);
    } else if (i > 0 && j > 0 && cost[here] === cost[here - width - 1] + 1) {
      i--, j--;
      edits.push(["insert", b[j]], ["delete", a[i]]);
    } else if (j > 0 && cost[here] === cost[here - 1] + 1) {
      edits.push(["insert", b[--j]]);
    } else {
      edits.push(["delete", a[--i]]);
    }
  }
  return {edits: edits.reverse(), distance: cost[cost.length - 1]};
}

// Annotations as JSON lines. U+2028 and U+2029 are escaped: some editors break lines there.
function toLines(rows) {
  const escape = (line) => line.replace(/[\u2028\u2029]/g, (sign) => "\\u" + sign.charCodeAt(0).toString(16));
  return rows.map((row) => escape(JSON.stringify(row)) + "\n").join("");
}

// Rows of a saved file that belong to `known` ids. Throws an error that names the line.
function fromLines(text, known) {
  const rows = [];
  text.replace(/^\uFEFF/, "").split("\n").forEach((line, index) => {
    if (!line.trim()) return;
    let row;
    try { row = JSON.parse(line); } catch (error) { throw new Error(`line ${index + 1}: no JSON`); }
    const target = row && (row.target === null || typeof row.target === "string");
    if (!row || typeof row.id !== "string" || !target) throw new Error(`line ${index + 1}: no annotation`);
    if (known.has(row.id)) rows.push({id: row.id, target: row.target, skip: row.skip === true, note: String(row.note || "")});
  });
  return rows;
}
