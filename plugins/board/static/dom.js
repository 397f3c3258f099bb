// Elements and words. Data becomes text and never mark-up: nothing here, or anywhere, writes HTML.

/** An element with properties and children; children that are null are left out, all others become text. */
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") made.className = value;
    else if (key === "style") for (const [rule, to] of Object.entries(value)) made.style.setProperty(rule, to);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const byId = (id) => document.getElementById(id);

export function fill(id, ...children) {
  (typeof id === "string" ? byId(id) : id).replaceChildren(...children.flat(Infinity).filter(Boolean));
}

const NUMBER = new Map();
export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (!NUMBER.has(digits)) {
    NUMBER.set(digits, new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return NUMBER.get(digits).format(value);
}
export const count = (value) => number(value, 0);
export const share = (value, digits = 1) => (value === null || value === undefined ? "–" : `${number(value * 100, digits)}%`);
export const plural = (many, word) => `${count(many)} ${word}${many === 1 ? "" : "s"}`;
export const words = (text) => String(text).replaceAll("_", " ");

/** Text in which no date breaks over two lines, and what stands in backticks is code. */
export function prose(text) {
  return String(text).split(/(\d{4}-\d\d-\d\d|`[^`]+`)/).map((part, odd) => {
    if (odd % 2 === 0) return part;
    return part[0] === "`" ? el("code", {}, part.slice(1, -1)) : el("span", { class: "day-of" }, part);
  });
}

/** Rows of a table that came as one array for each column. */
export function rows(table) {
  const names = Object.keys(table);
  return table[names[0]].map((_, index) => Object.fromEntries(names.map((name) => [name, table[name][index]])));
}

/** A link that leaves this page. Airflow's frame forbids windows of its own, so its document opens them. */
export function out(text, href, { same = false } = {}) {
  return el("a", { href, target: same ? "_top" : "_blank", rel: "noopener", onclick: leave }, text);
}

export function leave(event) {
  if (window.parent === window) return;
  try {
    const link = window.parent.document.createElement("a");
    const here = event.currentTarget;
    link.href = here.href;
    link.rel = "noopener";
    if (here.target === "_blank") link.target = "_blank";
    link.hidden = true;
    window.parent.document.body.append(link);
    link.click();
    link.remove();
    event.preventDefault();
  } catch {
    // Another site frames the page: the link goes as the browser lets it.
  }
}

/** A table that becomes a list of cards on a phone. `columns`: [title, cell of a row, class]. */
export function table(columns, found, { caption, first = 12 } = {}) {
  if (window.matchMedia("(max-width: 760px)").matches) first = Math.ceil(first / 2);
  const body = el("tbody");
  const line = (row) => el("tr", { class: row.marked || null }, columns.map(([title, cell, kind]) => el("td", { class: kind, "data-title": title }, el("div", {}, cell(row)))));
  body.append(...found.slice(0, first).map(line));
  const made = el("div", { class: "scrolls" }, el("table", {}, el("caption", { class: "hidden" }, caption), el("thead", {}, el("tr", {}, columns.map(([title, , kind]) => el("th", { scope: "col", class: kind }, title)))), body));
  return [made, more(found, first, (rest) => body.append(...rest.map(line)))];
}

/** A button for what does not stand on the first page of a list, or nothing. */
export function more(found, first, show) {
  if (found.length <= first) return null;
  const button = el("button", { type: "button", class: "more" }, `Show all ${count(found.length)}`);
  button.addEventListener("click", () => {
    show(found.slice(first));
    button.remove();
  });
  return button;
}
