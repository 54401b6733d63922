const main = document.querySelector("main");
const review = main.dataset.review;
const store = `clipbench labels ${review}`;
const cards = [...document.querySelectorAll("article")];
const progress = document.getElementById("progress");
const words = { good: "good", bad: "bad", unsure: "not sure" };
const at = { first: 0, random: 0 };
let list = "first";

function load() {
  const kept = new Map();
  try {
    for (const [index, { label, from }] of JSON.parse(localStorage.getItem(store) ?? "[]")) {
      const known = Object.hasOwn(words, label) && Object.hasOwn(at, from);
      if (typeof index === "string" && known) kept.set(index, { label, from });
    }
  } catch { /* private window, or what is kept there is none of ours: begin anew */ }
  return kept;
}

const labels = load();

function save() {
  try {
    localStorage.setItem(store, JSON.stringify([...labels]));
    return true;
  } catch {
    return false; // nothing is kept: the person is told to export
  }
}

const of = (name) => cards.filter((card) => card.dataset.list === name);

function show(focus) {
  for (const part of document.querySelectorAll("[data-of]")) part.hidden = part.dataset.of !== list;
  for (const button of document.querySelectorAll("[data-show]")) {
    button.setAttribute("aria-pressed", String(button.dataset.show === list));
  }
  of(list).forEach((card, place) => { card.hidden = place !== at[list]; });
  for (const card of cards) {
    const label = labels.get(card.dataset.index)?.label;
    for (const button of card.querySelectorAll(".judge button")) {
      button.setAttribute("aria-pressed", String(button.value === label));
    }
  }
  if (focus) of(list)[at[list]]?.focus({ preventScroll: false });
}

function tell(more = "") {
  const shown = of(list);
  const done = shown.filter((card) => labels.has(card.dataset.index)).length;
  const place = shown.length ? at[list] + 1 : 0;
  progress.textContent = `${more}Pair ${place} of ${shown.length}; ${done} judged here, ${labels.size} in all.`;
}

function move(by) {
  at[list] = Math.max(0, Math.min(of(list).length - 1, at[list] + by));
  show(true);
  tell();
}

function judge(label) {
  const card = of(list)[at[list]];
  if (!card) return;
  // A pair of both lists counts for the random sample as soon as it was judged there.
  const from = labels.get(card.dataset.index)?.from === "random" ? "random" : list;
  labels.set(card.dataset.index, { label, from });
  const kept = save() ? "" : "This browser keeps nothing: export before you close the page. ";
  if (at[list] < of(list).length - 1) at[list] += 1;
  show(true);
  tell(`Judged ${words[label]}. ${kept}`);
}

const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function table() {
  const rows = [["key", "index", "label", "list", "review_sha256"]];
  const seen = new Set();
  for (const { dataset } of cards) {
    if (!labels.has(dataset.index) || seen.has(dataset.index)) continue;
    seen.add(dataset.index);
    const { label, from } = labels.get(dataset.index);
    rows.push([dataset.key, dataset.index, label, from, review]);
  }
  return rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
}

function download() {
  if (!labels.size) {
    tell("Nothing is judged yet. ");
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  tell("Exported labels.csv. ");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.id === "export") download();
  else if (button.dataset.show) { list = button.dataset.show; show(false); tell(); }
  else if (button.dataset.move) move(Number(button.dataset.move));
  else judge(button.value);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const label = { g: "good", b: "bad", u: "unsure" }[event.key.toLowerCase()];
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (label) judge(label);
  else if (by) move(by);
  else return;
  event.preventDefault();
});

show(false);
tell();
