// Sorts and filters the table, and opens the details for printing. Without it the page is whole.
const table = document.getElementById("board");
const body = table.tBodies[0];
const rows = [...body.rows];
const heads = [...table.tHead.rows[0].cells];
const form = document.getElementById("filters");
const shown = document.getElementById("shown");

// What was not measured stays at the end whichever way the column is sorted.
function sort(column, descending) {
  const numeric = "numeric" in heads[column].dataset;
  const sign = descending ? -1 : 1;
  const value = (row) => row.cells[column].dataset.sort;
  const compare = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    if (numeric) return sign * (Number(a) - Number(b));
    return sign * a.localeCompare(b, "en", { numeric: true });
  };
  body.append(...[...rows].sort(compare));
  heads.forEach((head, index) => {
    if (index === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

heads.forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  button.addEventListener("click", () =>
    sort(column, head.getAttribute("aria-sort") === "ascending"),
  );
  head.replaceChildren(button);
});

function filter() {
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = [...form.querySelectorAll("select")].filter((select) => select.value);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits =
      words.every((word) => text.includes(word)) &&
      chosen.every((select) => `=${row.dataset[select.name]}` === select.value);
    row.hidden = !fits;
    count += fits;
  }
  shown.textContent = `${count} of ${rows.length} rows`;
}

form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
form.hidden = false;
filter(); // a browser may have kept what was typed before a reload

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
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const details of closed) details.open = true;
});
window.addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
});
