// SPDX-License-Identifier: Apache-2.0
// Where the page's data come from: the server, or what an exported file holds.
import { rowObject } from "./model.js";

async function answered(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) throw new Error(await response.text());
  return response;
}

const served = {
  live: true,
  facts: async (stamp) => (await answered(`/data/run?known=${encodeURIComponent(stamp)}`)).json(),
  part: async (from) => (await answered(`/data/index?from=${from}`)).json(),
  record: async (row) => (await answered("/data/pairs", { headers: { Range: `bytes=${row.offset}-${row.offset + row.length - 1}` } })).json(),
  // records, and faults: what is wrong with lines that hold none
  tokens: async (row, record) => (await answered(`/data/tokens?step=${record.step}&key=${encodeURIComponent(record.key ?? "")}`)).json(),
  groups: async (step) => (await answered(`/data/groups?step=${step}`)).json(),
  picture: async (name) => `/images/${encodeURIComponent(name)}`,
};

async function unpacked(name) {
  const text = document.getElementById(name).textContent;
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

const SHARDS_KEPT = 8;

function exported() {
  const shards = new Map(); // the last ones used
  let size, names;
  const entry = async (kind, row) => {
    const name = `data-${kind}-${Math.floor(row.number / size)}`;
    if (!shards.has(name)) shards.set(name, unpacked(name));
    if (shards.size > SHARDS_KEPT) shards.delete(shards.keys().next().value);
    return (await shards.get(name))[row.number % size];
  };
  return {
    live: false,
    facts: async () => {
      const facts = await unpacked("data-run");
      size = facts.shard;
      return facts;
    },
    part: async () => unpacked("data-index"),
    record: (row) => entry("shard", row),
    tokens: (row) => entry("tokens", row),
    groups: async (step) => (document.getElementById(`data-groups-${step}`) ? unpacked(`data-groups-${step}`) : { records: [], faults: [] }),
    picture: async (name) => {
      names = names || (await unpacked("data-pictures"));
      return `data:image/png;base64,${document.getElementById(`picture-${names[name]}`).textContent}`;
    },
  };
}

// The run as far as it is loaded. onload is called after each part.
export class Run {
  constructor() {
    this.source = document.getElementById("data-run") ? exported() : served;
    this.rows = [];
    this.faults = []; // the first ones
    this.faultCount = 0;
    this.byLine = new Map();
    this.generation = 0;
    this.complete = false;
  }

  // Returns whether anything was new.
  async readFacts() {
    const facts = await this.source.facts(this.facts?.stamp ?? "");
    if (!facts.unchanged) this.facts = facts;
    return !facts.unchanged;
  }

  // Returns whether anything was new.
  async readIndex(onload) {
    let fresh = false;
    for (let more = true; more; ) {
      const part = await this.source.part(this.rows.length);
      if (part.generation !== this.generation) {
        this.rows = [];
        this.byLine.clear();
        this.generation = part.generation;
        fresh = true;
        continue;
      }
      for (const values of part.rows) {
        const row = rowObject(this.facts.columns, values);
        row.number = this.rows.length;
        this.rows.push(row);
        this.byLine.set(row.line, row);
      }
      fresh = fresh || part.rows.length > 0 || part.fault_count !== this.faultCount;
      this.faults = part.faults;
      this.faultCount = part.fault_count;
      more = part.more;
      onload();
    }
    this.complete = true;
    return fresh;
  }
}
