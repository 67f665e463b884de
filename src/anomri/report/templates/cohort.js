// Many scans: pictures or table, a page at a time, sorted and filtered; marks in the charts; ratings that stay with
// the reader. Text of a scan is only ever set as text. Scans without a value come last, whichever way they are sorted.
// It is one file, and long, because the page allows one script by its hash, and loads nothing.
"use strict";

const data = JSON.parse(document.getElementById("cohort-data").textContent);
const scans = data.scans;
const total = scans.scan_id.length;
const PER_PAGE = 60;
const RATINGS = ["pass", "exclude", "unsure"];
const MARKS = {
  pass: "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0z",
  warn: "M0 -4.2L4.4 3.4H-4.4z",
  fail: "M0 -4.8L4.8 0L0 4.8L-4.8 0z",
  out_of_scope: "M-3.2 -3.2L3.2 3.2M3.2 -3.2L-3.2 3.2",
  unreadable: "M-3.2 -3.2L3.2 3.2M3.2 -3.2L-3.2 3.2",
};
const element = (id) => document.getElementById(id);
const state = { key: "verdict", up: true, page: 0, chosen: total ? 0 : null, table: false, order: [] };

// Numbers as everywhere in anomri: three significant digits, a true minus, an en dash where there is none.
function number(value) {
  if (value === null) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e6) {
    const [digits, power] = value.toExponential(2).split("e");
    return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`.replaceAll("-", "−");
  }
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size)))).replace("-", "−");
}

function make(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

function said(scan) {
  const verdict = scans.verdict[scan];
  const made = make("span", `say ${verdict}`);
  made.append(element(`icon-${verdict}`).content.cloneNode(true), data.verdicts[verdict].word);
  return made;
}

function link(scan) {
  const made = make("a", "", scans.scan_id[scan]);
  made.href = scans.report[scan];
  return made;
}

// Ratings: of an image, so that it keeps its rating in another run's page, and when a folder has gathered more scans.

const ratings = new Map();
const STORED = "anomri-rating:";
let unsaved = false;
let store = null;
try {
  store = window.localStorage;
  store.getItem(STORED);
} catch {
  store = null;
}

function keyOf(record) {
  return record.input_sha256 === "" ? `id:${record.scan_id}` : record.input_sha256;
}

const keys = scans.scan_id.map((scan_id, i) => keyOf({ scan_id, input_sha256: scans.input_sha256[i] }));

function isRating(record) {
  return (
    record !== null && typeof record === "object" && typeof record.scan_id === "string" &&
    typeof record.input_sha256 === "string" && typeof record.comment === "string" &&
    (record.rating === null || RATINGS.includes(record.rating))
  );
}

function recall() {
  if (store === null) return;
  for (const key of keys) {
    try {
      const record = JSON.parse(store.getItem(STORED + key));
      if (isRating(record)) ratings.set(key, record);
    } catch {
      continue; // not ours
    }
  }
}

function keep(key) {
  const record = ratings.get(key);
  try {
    if (record) store?.setItem(STORED + key, JSON.stringify(record));
    else store?.removeItem(STORED + key);
  } catch {
    store = null; // full: from here on the page's memory alone
  }
}

function ratingOf(scan) {
  return ratings.get(keys[scan])?.rating ?? null;
}

function rate(scan, change) {
  const before = ratings.get(keys[scan]) ?? { rating: null, comment: "" };
  const record = { scan_id: scans.scan_id[scan], input_sha256: scans.input_sha256[scan], ...{ rating: before.rating, comment: before.comment }, ...change };
  if (record.rating === null && record.comment.trim() === "") ratings.delete(keys[scan]);
  else ratings.set(keys[scan], record);
  unsaved = true;
  keep(keys[scan]);
  for (const badge of document.querySelectorAll(`[data-scan="${scan}"] .rated`)) showBadge(badge, scan);
  showRating();
}

function showBadge(badge, scan) {
  const record = ratings.get(keys[scan]);
  badge.textContent = record ? [record.rating ?? "", record.comment ? "✎" : ""].filter(Boolean).join(" ") : "";
  badge.title = record?.comment ?? "";
}

function showRating() {
  const record = state.chosen === null ? undefined : ratings.get(keys[state.chosen]);
  for (const button of document.querySelectorAll("[data-rating]")) {
    button.setAttribute("aria-pressed", String(record?.rating === button.dataset.rating));
  }
  const comment = element("comment");
  if (document.activeElement !== comment) comment.value = record?.comment ?? "";
  const counts = RATINGS.map((name) => keys.filter((key) => ratings.get(key)?.rating === name).length);
  const rated = counts.reduce((sum, count) => sum + count, 0);
  const parts = RATINGS.map((name, i) => `${counts[i]} ${name}`).join(", ");
  element("tally").textContent = `${rated} of ${total} rated${rated ? `: ${parts}` : ""}`;
  element("kept").textContent = store === null
    ? "This browser keeps nothing: save before you close the page."
    : "Kept in this browser, and in the file when you save it.";
}

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const anchor = make("a");
  anchor.href = address;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function saveRatings() {
  const sorted = [...ratings.values()].sort((a, b) => (a.scan_id < b.scan_id ? -1 : a.scan_id > b.scan_id ? 1 : 0));
  const content = { format: "anomri-ratings", schema_version: 1, rater: element("rater").value.trim(), ratings: sorted };
  save("ratings.json", "application/json", `${JSON.stringify(content, null, 2)}\n`);
  unsaved = false;
}

async function openRatings(file) {
  let content;
  try {
    content = JSON.parse(await file.text());
  } catch {
    content = null;
  }
  if (content?.format !== "anomri-ratings" || content.schema_version !== 1 || !Array.isArray(content.ratings) || !content.ratings.every(isRating)) {
    element("kept").textContent = `${file.name} holds no ratings of this version.`;
    return;
  }
  const here = new Set(keys);
  for (const { scan_id, input_sha256, rating, comment } of content.ratings) {
    const key = keyOf({ scan_id, input_sha256 });
    ratings.set(key, { scan_id, input_sha256, rating, comment });
    if (here.has(key)) keep(key);
  }
  if (typeof content.rater === "string" && element("rater").value === "") element("rater").value = content.rater;
  show();
  const strangers = content.ratings.filter((record) => !here.has(keyOf(record))).length;
  element("kept").textContent = `${content.ratings.length} read${strangers ? `, ${strangers} of scans that are not on this page` : ""}.`;
}

// Order and filter.

const texts = scans.scan_id.map((name, i) =>
  [name, scans.run[i], scans.reason[i], ...scans.notes[i].map((n) => data.notes[n])].join("\n").toLowerCase(),
);

function value(scan) {
  if (state.key === "verdict") return data.verdicts[scans.verdict[scan]].rank;
  if (state.key === "rating") {
    const rank = RATINGS.indexOf(ratingOf(scan));
    return rank < 0 ? null : rank;
  }
  const found = scans[state.key][scan];
  return found === "" ? null : found;
}

const names = new Intl.Collator("en", { numeric: true });

function compare(a, b) {
  return typeof a === "string" ? names.compare(a, b) : a - b;
}

function arrange() {
  const wanted = element("filter").value.trim().toLowerCase();
  const rated = element("rated").value;
  const verdicts = new Set([...document.querySelectorAll(".only:checked")].map((box) => box.value));
  const keyed = [];
  for (let i = 0; i < total; i += 1) {
    const rating = ratingOf(i);
    const fits = rated === "" || (rated === "none" ? rating === null : rating === rated);
    if (fits && verdicts.has(scans.verdict[i]) && texts[i].includes(wanted)) keyed.push([value(i), i]);
  }
  // The script gets the scans the most urgent first, which settles what is equal.
  keyed.sort(([a, i], [b, j]) => {
    if (a === null || b === null) return (a === null) - (b === null) || i - j;
    return (state.up ? compare(a, b) : compare(b, a)) || i - j;
  });
  state.order = keyed.map(([, scan]) => scan);
}

function sortBy(key, up) {
  state.key = key;
  state.up = up;
  state.page = 0;
  show();
}

// Pictures and table.

function tile(scan) {
  const made = make("li", `tile ${scans.verdict[scan]}`);
  const thumb = make("div", "thumb");
  thumb.append(picture(scan));
  const name = make("p", "id");
  name.append(element(`icon-${scans.verdict[scan]}`).content.cloneNode(true), make("span", "unseen", data.verdicts[scans.verdict[scan]].word), link(scan));
  const facts = make("p", "under");
  const by = ["p_value", "robust_z"].includes(state.key) ? state.key : "score";
  const word = { score: "score", p_value: "p", robust_z: "z" }[by];
  facts.append(make("span", "", scans[by][scan] === null ? data.verdicts[scans.verdict[scan]].word : `${word} ${number(scans[by][scan])}`), make("span", "rated"));
  made.append(thumb, name, facts);
  return made;
}

function picture(scan) {
  const made = make("img");
  made.alt = "";
  made.loading = "lazy";
  made.width = 900;
  made.height = 350;
  made.addEventListener("error", () => made.classList.add("lost"));
  made.src = scans.preview[scan];
  return made;
}

function row(scan) {
  const made = make("tr");
  const name = make("td", "id");
  name.append(link(scan));
  made.append(name);
  if (document.querySelector('th [data-sort="run"]')) made.append(make("td", "", scans.run[scan]));
  const verdict = make("td");
  verdict.append(said(scan));
  const why = make("td", "why");
  why.append(make("span", "", scans.reason[scan]));
  made.append(verdict, why);
  for (const key of ["score", "p_value", "robust_z"]) made.append(make("td", "n", number(scans[key][scan])));
  if (document.querySelector('th [data-sort="judged_on"]')) made.append(make("td", "day", scans.judged_on[scan]));
  made.append(make("td", "rated"));
  return made;
}

function show() {
  arrange();
  const pages = Math.max(1, Math.ceil(state.order.length / PER_PAGE));
  state.page = Math.min(state.page, pages - 1);
  const first = state.page * PER_PAGE;
  const here = state.order.slice(first, first + PER_PAGE);
  const made = here.map((scan) => {
    const item = state.table ? row(scan) : tile(scan);
    item.dataset.scan = String(scan);
    showBadge(item.querySelector(".rated"), scan);
    return item;
  });
  element("tiles").hidden = state.table;
  element("table").hidden = !state.table;
  element("tiles").replaceChildren(...(state.table ? [] : made));
  element("runs").tBodies[0].replaceChildren(...(state.table ? made : []));
  const count = state.order.length;
  element("where").textContent = count ? `${first + 1}–${first + here.length} of ${count}` : "no scan fits the filter";
  element("back").disabled = state.page === 0;
  element("forth").disabled = state.page >= pages - 1;
  document.querySelector(".pager").hidden = pages === 1 && count > 0;
  element("shown").textContent = count === total ? "" : `${count} of ${total} shown`;
  element("sort").value = state.key;
  element("turn").textContent = state.up ? "↑" : "↓";
  for (const button of document.querySelectorAll("th [data-sort]")) {
    const header = button.closest("th");
    if (button.dataset.sort === state.key) header.setAttribute("aria-sort", state.up ? "ascending" : "descending");
    else header.removeAttribute("aria-sort");
  }
  const kept = new Set(state.order);
  for (const mark of document.querySelectorAll(".dots [data-mark-of]")) {
    mark.classList.toggle("off", !kept.has(Number(mark.dataset.markOf)));
  }
  choose(state.order.includes(state.chosen) ? state.chosen : (here[0] ?? null));
}

function turnTo(page) {
  state.page = page;
  state.chosen = state.order[page * PER_PAGE];
  show();
  element("scans").scrollIntoView({ block: "start" });
}

// The chosen scan.

function choose(scan, { focus = false } = {}) {
  if (document.activeElement === element("comment") && scan !== state.chosen) element("comment").blur();
  state.chosen = scan;
  element("look").hidden = scan === null;
  for (const item of document.querySelectorAll("[data-scan]")) {
    const current = Number(item.dataset.scan) === scan;
    item.tabIndex = current ? 0 : -1;
    if (current) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
    if (current && focus) item.focus();
  }
  for (const chart of document.querySelectorAll(".dots[data-chart]")) ring(chart, scan);
  if (scan === null) return;
  const large = element("large");
  const source = scans.preview[scan];
  large.classList.remove("lost");
  if (large.getAttribute("src") !== source) large.src = source;
  element("name").textContent = scans.scan_id[scan] + (scans.run[scan] ? ` – ${scans.run[scan]}` : "");
  element("said").replaceChildren(said(scan));
  element("why").textContent = scans.reason[scan];
  element("notes").replaceChildren(...scans.notes[scan].map((note) => make("li", "", data.notes[note])));
  element("figures").textContent = scans.score[scan] === null ? "" : figures(scan);
  element("report").href = scans.report[scan];
  const at = state.order.indexOf(scan);
  element("earlier").disabled = at <= 0;
  element("later").disabled = at >= state.order.length - 1;
  showRating();
}

function figures(scan) {
  return `score ${number(scans.score[scan])}   p ${number(scans.p_value[scan])}   robust z ${number(scans.robust_z[scan])}`;
}

function step(by) {
  const at = state.order.indexOf(state.chosen) + by;
  if (at < 0 || at >= state.order.length) return;
  const page = Math.floor(at / PER_PAGE);
  const focus = element("tiles").contains(document.activeElement) || element("runs").contains(document.activeElement);
  if (page !== state.page) {
    state.page = page;
    state.chosen = state.order[at];
    show();
  }
  choose(state.order[at], { focus });
}

// Marks in the charts.

const SVG = "http://www.w3.org/2000/svg";
const places = {};

function draw(chart) {
  const found = data.marks[chart.dataset.chart];
  const [x, y, width, height] = chart.dataset.frame.split(",").map(Number);
  const size = found.length <= 200 ? 1 : found.length <= 1500 ? 0.75 : 0.5;
  chart.classList.toggle("crowd", found.length > 1500);
  places[chart.dataset.chart] = new Map();
  chart.append(
    ...found.map(([scan, across, up]) => {
      const at = [x + width * across, y - height * up];
      places[chart.dataset.chart].set(scan, at);
      const mark = document.createElementNS(SVG, "path");
      mark.setAttribute("d", MARKS[scans.verdict[scan]]);
      mark.setAttribute("transform", `translate(${at[0].toFixed(2)} ${at[1].toFixed(2)}) scale(${size})`);
      mark.setAttribute("class", scans.verdict[scan]);
      mark.dataset.markOf = String(scan);
      return mark;
    }),
  );
  chart.addEventListener("click", (event) => {
    const scan = event.target.dataset.markOf;
    if (scan !== undefined) find(Number(scan));
  });
  chart.addEventListener("pointerover", (event) => {
    const scan = Number(event.target.dataset.markOf);
    element("pointed").textContent = scans.score[scan] === null ? scans.scan_id[scan] : `${scans.scan_id[scan]}: ${figures(scan)}`;
  });
  chart.addEventListener("pointerout", () => (element("pointed").textContent = ""));
}

function ring(chart, scan) {
  const at = places[chart.dataset.chart].get(scan);
  const circle = chart.nextElementSibling;
  circle.toggleAttribute("hidden", at === undefined);
  if (at === undefined) return;
  circle.setAttribute("cx", at[0]);
  circle.setAttribute("cy", at[1]);
}

// A scan that the filter hides is shown again, because it was asked for by name.
function find(scan) {
  if (!state.order.includes(scan)) {
    element("filter").value = "";
    element("rated").value = "";
    for (const box of document.querySelectorAll(".only")) box.checked = true;
    arrange();
  }
  state.page = Math.floor(state.order.indexOf(scan) / PER_PAGE);
  state.chosen = scan;
  show();
  element("look").scrollIntoView({ block: "nearest" });
}

// The table as a file: what is shown, in its order, on all pages. A cell that a spreadsheet could run as a formula gets
// an apostrophe, as in summary.csv.

const COLUMNS = ["scan_id", "run", "verdict", "reason", "score", "p_value", "robust_z", "judged_on", "notes", "input_sha256", "rating", "comment"];

function cell(content) {
  if (content === null) return "";
  if (typeof content === "number") return String(content);
  const text = /^[=+\-@\t\r\n]/.test(content) && (content.trim() === "" || Number.isNaN(Number(content))) ? `'${content}` : content;
  return /[,"\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function saveTable() {
  const lines = state.order.map((scan) => {
    const record = ratings.get(keys[scan]);
    const extra = { notes: scans.notes[scan].map((note) => data.notes[note]).join(" | "), rating: record?.rating ?? null, comment: record?.comment ?? null };
    return COLUMNS.map((name) => cell(name in extra ? extra[name] : scans[name][scan])).join(",");
  });
  save("scans.csv", "text/csv", `${[COLUMNS.join(","), ...lines].join("\n")}\n`);
}

// Wiring.

function view(table) {
  state.table = table;
  element("as-table").setAttribute("aria-pressed", String(table));
  element("as-pictures").setAttribute("aria-pressed", String(!table));
  show();
}

function refilter() {
  state.page = 0;
  show();
}

for (const path of document.querySelectorAll("path[data-mark]")) path.setAttribute("d", MARKS[path.dataset.mark]);
document.querySelectorAll(".dots[data-chart]").forEach(draw);
element("filter").addEventListener("input", refilter);
element("rated").addEventListener("change", refilter);
document.querySelectorAll(".only").forEach((box) => box.addEventListener("change", refilter));
element("sort").addEventListener("change", (event) => sortBy(event.target.value, true));
element("turn").addEventListener("click", () => sortBy(state.key, !state.up));
for (const button of document.querySelectorAll("th [data-sort]")) {
  button.addEventListener("click", () => sortBy(button.dataset.sort, state.key !== button.dataset.sort || !state.up));
}
element("as-pictures").addEventListener("click", () => view(false));
element("as-table").addEventListener("click", () => view(true));
element("csv").addEventListener("click", saveTable);
element("back").addEventListener("click", () => turnTo(state.page - 1));
element("forth").addEventListener("click", () => turnTo(state.page + 1));
element("earlier").addEventListener("click", () => step(-1));
element("later").addEventListener("click", () => step(1));
element("large").addEventListener("error", (event) => event.target.classList.add("lost"));
for (const list of [element("tiles"), element("runs").tBodies[0]]) {
  list.addEventListener("click", (event) => {
    const item = event.target.closest("[data-scan]");
    if (item && !event.target.closest("a")) choose(Number(item.dataset.scan), { focus: true });
  });
}
for (const button of document.querySelectorAll("[data-rating]")) {
  button.addEventListener("click", () => {
    const chosen = button.dataset.rating;
    rate(state.chosen, { rating: ratingOf(state.chosen) === chosen ? null : chosen });
  });
}
element("comment").addEventListener("input", (event) => rate(state.chosen, { comment: event.target.value }));
element("comment").addEventListener("keydown", (event) => {
  if (event.key === "Escape") event.target.blur();
});
element("save").addEventListener("click", saveRatings);
element("open").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", (event) => {
  if (event.target.files.length) openRatings(event.target.files[0]);
  event.target.value = "";
});
document.addEventListener("keydown", (event) => {
  if (state.chosen === null || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  const onItem = event.target.closest("[data-scan]") !== null && !event.target.closest("a");
  if (event.key === "ArrowRight") step(1);
  else if (event.key === "ArrowLeft") step(-1);
  else if ("123".includes(event.key)) rate(state.chosen, { rating: RATINGS[Number(event.key) - 1] });
  else if (event.key === "0") rate(state.chosen, { rating: null });
  else if (event.key === "c") element("comment").focus();
  else if (event.key === "Enter" && onItem) element("report").click();
  else return;
  event.preventDefault();
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved && store === null) event.preventDefault();
});
recall();
show();
