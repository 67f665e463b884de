// Sorting and filtering the table of scans. Rows without a value come last, whichever way the table is sorted.
"use strict";

const table = document.getElementById("runs");
const body = table.tBodies[0];
const filter = document.getElementById("filter");
const boxes = [...document.querySelectorAll(".only")];
const everything = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));

function key(row, column, kind) {
  const cell = row.cells[column];
  const text = cell.dataset.key ?? cell.textContent.trim();
  if (kind === "text") return text;
  return text === "" ? null : Number(text);
}

function compare(a, b, kind) {
  return kind === "text" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}

function sortBy(header, column, kind) {
  const up = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const keyed = [...body.rows].map((row) => [key(row, column, kind), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return up ? compare(a, b, kind) : compare(b, a, kind);
  });
  body.append(...keyed.map(([, row]) => row));
}

function show() {
  const wanted = filter.value.trim().toLowerCase();
  const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  let count = 0;
  for (const { row, text } of everything) {
    row.hidden = !(verdicts.has(row.dataset.verdict) && text.includes(wanted));
    if (!row.hidden) count += 1;
  }
  document.getElementById("shown").textContent = count === everything.length ? "" : `${count} of ${everything.length} shown`;
}

[...table.tHead.rows[0].cells].forEach((header, column) => {
  const button = header.querySelector("button");
  if (button) button.addEventListener("click", () => sortBy(header, column, button.dataset.kind));
});
filter.addEventListener("input", show);
boxes.forEach((box) => box.addEventListener("change", show));
