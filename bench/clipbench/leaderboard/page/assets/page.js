// Folds, sorts and filters the table, and opens the details for printing. Without it the page is
// whole.
const table = document.getElementById("board");
const form = document.getElementById("filters");
const shown = document.getElementById("shown");
const heads = [...table.tHead.rows[0].cells];
const groups = [...table.tBodies].map((body) => {
  const [head, ...rows] = body.rows;
  return { body, head, rows, open: false };
});
const rows = groups.flatMap((group) => group.rows);
const flat = document.createElement("tbody"); // of all rows, where they are not folded by attack
let order = (one, other) => rows.indexOf(one) - rows.indexOf(other);

// What was not measured stays at the end whichever way the column is sorted.
function sort(column, descending) {
  const numeric = "numeric" in heads[column].dataset;
  const sign = descending ? -1 : 1;
  const value = (row) => row.cells[column].dataset.sort;
  order = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    if (numeric) return sign * (Number(a) - Number(b));
    return sign * a.localeCompare(b, "en", { numeric: true });
  };
  heads.forEach((head, index) => {
    if (index === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  form.elements.fold.checked = false; // rows of all attacks are held against each other
  arrange();
}

function arrange() {
  if (form.elements.fold.checked) {
    flat.remove();
    for (const group of groups) {
      group.body.append(...[...group.rows].sort(order));
      table.append(group.body);
    }
  } else {
    for (const group of groups) group.body.remove();
    flat.append(...[...rows].sort(order));
    table.append(flat);
  }
  filter();
}

function filter() {
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = [...form.querySelectorAll("select")].filter((select) => select.value);
  const folded = form.elements.fold.checked && !words.length && !chosen.length;
  let count = 0;
  for (const group of groups) {
    let fitting = 0;
    for (const row of group.rows) {
      const text = row.textContent.toLowerCase();
      const fits =
        words.every((word) => text.includes(word)) &&
        chosen.every((select) => `=${row.dataset[select.name]}` === select.value);
      row.hidden = !fits || (folded && !group.open);
      fitting += fits;
    }
    group.head.hidden = !fitting;
    group.button.setAttribute("aria-expanded", String(!folded || group.open));
    count += fitting;
  }
  shown.textContent = `${count} of ${rows.length} rows`;
}

function buttonIn(cell, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...cell.childNodes);
  button.addEventListener("click", act);
  cell.replaceChildren(button);
  return button;
}

heads.forEach((head, column) =>
  buttonIn(head, () => sort(column, head.getAttribute("aria-sort") === "ascending")),
);
for (const group of groups) {
  group.button = buttonIn(group.head.cells[0], () => {
    group.open = !group.open;
    filter();
  });
}

form.addEventListener("input", (event) =>
  event.target === form.elements.fold ? arrange() : filter(),
);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(arrange));
form.hidden = false;
arrange(); // a browser may have kept what was typed before a reload

// Older browsers do not open the details around what a link leads to.
function reveal() {
  const target = document.getElementById(location.hash.slice(1));
  const around = target && target.closest("details");
  if (around) {
    around.open = true;
    target.scrollIntoView();
  }
}
window.addEventListener("hashchange", reveal);
reveal();

let closed = [];
window.addEventListener("beforeprint", () => {
  for (const group of groups) for (const row of group.rows) row.hidden = false;
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const details of closed) details.open = true;
});
window.addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
  filter();
});
