(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const storageKey = (sample) => `verl_df.lab.repair_data.${sample.id}`;
  const by = (id) => document.getElementById(id);
  const samples = data.samples;
  const position = new Map(samples.map((sample, index) => [sample.id, index]));
  // By id: {target, note, state: "open" | "done" | "skip"}; an absent one is untouched.
  const work = {};
  let current = 0;
  let unsaved = false, keeps = true;

  const entry = (sample) => work[sample.id] || {target: sample.response, note: "", state: "open"};
  const isOpen = (sample) => entry(sample).state === "open";

  // ---- kept by the browser, and files ----
  const keepsNothing = () => {
    keeps = false;
    by("saved").textContent = "This browser keeps nothing: save the file often";
  };

  function keep(sample) {
    unsaved = true;
    try {
      localStorage.setItem(storageKey(sample), JSON.stringify(entry(sample)));
      by("saved").textContent = "Kept in this browser";
    } catch (error) { keepsNothing(); }  // a private window, or no room left
  }

  function recall() {
    try {
      for (const sample of samples) {
        const kept = localStorage.getItem(storageKey(sample));
        if (kept) work[sample.id] = JSON.parse(kept);
      }
    } catch (error) { keepsNothing(); }
    current = Math.max(0, samples.findIndex(isOpen));
  }

  function save() {
    const settled = samples.filter((sample) => !isOpen(sample));
    const rows = settled.map((sample) => {
      const {target, note, state} = entry(sample);
      const skip = state === "skip";
      return {id: sample.id, target: skip ? null : target, skip, note};
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([toLines(rows)], {type: "application/x-ndjson"}));
    link.download = "annotations.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    unsaved = false;
    const drafts = samples.filter((sample) => isOpen(sample) && entry(sample).target !== sample.response).length;
    const left = drafts ? `; ${drafts} changed but not marked as done, left out` : "";
    by("saved").textContent = `Saved ${rows.length} of ${samples.length}${left}`;
  }

  async function load(file) {
    try {
      const rows = fromLines(await file.text(), position);
      for (const {id, target, skip, note} of rows) {
        const sample = samples[position.get(id)];
        const state = skip ? "skip" : target === null ? "open" : "done";
        work[id] = {target: target === null ? sample.response : target, note, state};
        keep(sample);
      }
      show();
      by("saved").textContent = `Loaded ${rows.length} annotations of this form`;
    } catch (error) {
      say(`${file.name}, ${error.message}`);
    }
  }

  // ---- one sample ----
  function update(change) {
    const sample = samples[current];
    work[sample.id] = {...entry(sample), ...change};
    keep(sample);
  }

  function show() {
    const sample = samples[current], {target, note} = entry(sample);
    by("images").replaceChildren(...sample.images.map((name, index) => {
      const image = document.createElement("img");
      image.src = data.images[name];
      image.alt = `Image ${index + 1} of the question`;
      return image;
    }));
    by("question").textContent = sample.question.replaceAll("<image>", "");
    const truth = sample.ground_truth;
    by("ground-truth").textContent = typeof truth === "string" ? truth : JSON.stringify(truth);
    by("reference").textContent = sample.reference;
    by("reference-kind").textContent = sample.reference_kind === "sibling" ? "a right response" : "the annotated answer";
    by("target").value = target;
    by("note").value = note;
    by("number").value = current + 1;
    by("number").max = samples.length;
    by("of").textContent = `of ${samples.length}`;
    by("previous").disabled = current === 0;
    by("next").disabled = current === samples.length - 1;
    say("");
    compare();
    status();
  }

  function compare() {
    const sample = samples[current], before = words(sample.response);
    const {runs, distance} = difference(before, words(by("target").value));
    const tags = {same: "span", delete: "del", insert: "ins"};
    by("diff").replaceChildren(...runs.map(({kind, words}) => {
      const element = document.createElement(tags[kind]);
      element.textContent = words.join("");
      return element;
    }));
    const share = 100 * distance / Math.max(1, before.length);
    by("ratio").textContent = `about ${share.toFixed(0)}% changed, in words; the import counts tokens`;
  }

  function status() {
    const {state} = entry(samples[current]);
    by("state").textContent = {open: "Open", done: "Done", skip: "Skipped"}[state];
    by("state").dataset.state = state;
    by("reopen").disabled = state === "open";
    const count = (wanted) => samples.filter((sample) => entry(sample).state === wanted).length;
    const done = count("done"), skipped = count("skip");
    by("progress").max = samples.length;
    by("progress").value = done + skipped;
    by("counts").textContent = `${done} done, ${skipped} skipped, ${samples.length - done - skipped} open`;
  }

  const say = (text) => { by("message").textContent = text; };

  function go(index) {
    if (!Number.isInteger(index) || index < 0 || index >= samples.length) return show();
    current = index;
    show();
  }

  function nextOpen() {
    const order = samples.map((_, step) => (current + 1 + step) % samples.length);
    const found = order.find((index) => isOpen(samples[index]));
    if (found === undefined) { show(); say("Every sample is settled: save the file."); } else go(found);
  }

  function done() {
    const target = by("target").value;
    if (!target.trim()) return say("The repair is empty. Write it, or skip the sample with a reason.");
    if (target === samples[current].response) return say("Nothing is changed. Repair the response, or skip it.");
    update({target, state: "done"});
    nextOpen();
  }

  function skip() {
    const note = by("note").value.trim();
    if (!note) { by("note").focus(); return say("Write or choose a reason to skip the sample."); }
    update({note, state: "skip"});
    nextOpen();
  }

  // ---- events ----
  by("target").addEventListener("input", () => {
    update({target: by("target").value, state: "open"});
    compare();
    status();
  });
  by("note").addEventListener("input", () => update({note: by("note").value}));
  by("note").addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) skip(); });
  by("done").addEventListener("click", done);
  by("skip").addEventListener("click", skip);
  by("restore").addEventListener("click", () => { update({target: samples[current].response, state: "open"}); show(); });
  by("reopen").addEventListener("click", () => { update({state: "open"}); show(); });
  by("previous").addEventListener("click", () => go(current - 1));
  by("next").addEventListener("click", () => go(current + 1));
  by("next-open").addEventListener("click", nextOpen);
  by("number").addEventListener("change", () => go(Number(by("number").value) - 1));
  by("save").addEventListener("click", save);
  by("load").addEventListener("change", async () => {
    if (by("load").files.length) await load(by("load").files[0]);
    by("load").value = "";
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); return done(); }
    const typing = ["TEXTAREA", "INPUT"].includes(event.target.tagName);
    if (event.key === "Escape") { if (typing) event.target.blur(); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowLeft: () => go(current - 1),
      ArrowRight: () => go(current + 1),
      n: nextOpen,
      e: () => by("target").focus(),
      s: () => by("note").focus(),
    };
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
  });
  window.addEventListener("beforeunload", (event) => { if (unsaved && !keeps) event.preventDefault(); });

  recall();
  show();
})();
