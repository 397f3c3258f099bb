// The days of the loop as small months. A colour says how far a day came, a shape what stands out, words say both.
import { byId, count, el, fill, plural, prose, rows, share } from "./dom.js";

const REACHED = [
  ["ingested", "ingested"],
  ["checked", "checked"],
  ["built", "features built"],
  ["scored", "scored"],
  ["matured", "labels matured"],
];
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

export function drawCalendar(found) {
  const days = rows(found.days).map(judge);
  fill("days-legend",
    REACHED.map(([key, told]) => el("li", {}, el("span", { class: `day ${key}` }), told)),
    el("li", {}, el("span", { class: "day checked failed" }), "halted or failed"),
    el("li", {}, el("span", { class: "day matured waived" }), "waived"),
    el("li", {}, el("span", { class: "day missing" }), "missing"));
  fill("days-told", prose(summary(days)));
  const months = new Map();
  for (const day of days) {
    const key = day.as_of.slice(0, 7);
    months.set(key, [...(months.get(key) ?? []), day]);
  }
  fill("calendar", [...months].map(([key, of]) => month(key, of)));
  roam(byId("calendar"));
}

function judge(day) {
  const states = [day.ingested, day.checked, day.built, day.scored, day.monitored, day.decided];
  const missing = states.every((state) => state === null);
  const matured = day.provisional === false;
  const failed = day.failed !== null || states.includes("failed");
  const waived = day.waived !== null || day.checked === "waived";
  let reached = "ingested";
  if (matured) reached = "matured";
  else if (day.scored !== null && day.scored !== "no_champion") reached = "scored";
  else if (day.built !== null) reached = "built";
  else if (day.checked !== null) reached = "checked";
  return { ...day, missing, matured, failed, waived, reached, told: tell(day, { missing, matured }) };
}

function tell(day, { missing, matured }) {
  if (missing) return "missing: no drop of this day was ever ingested";
  const parts = [];
  if (day.failed) parts.push(`halted by the checks of ${day.failed}`);
  else if (day.checked === "failed") parts.push("halted by its checks");
  if (day.waived) parts.push(`${day.waived} waived by a person`);
  if (day.ingested === null) parts.push("not ingested through the chain");
  else if (day.checked === null) parts.push("ingested, not checked yet");
  else if (day.built === null) parts.push(day.failed || day.checked === "failed" ? "no features" : "checked, features not built yet");
  else if (day.scored === null) parts.push("features built, not scored");
  else if (day.scored === "no_champion") parts.push("features built; there was no champion to score it");
  else if (matured) parts.push(`scored, ${share(day.coverage)} of its labels have landed`);
  else if (day.coverage !== null) parts.push(`scored, ${share(day.coverage)} of its labels have landed: provisional`);
  else parts.push("scored, labels still to come");
  if (day.scored !== null && day.monitored === null) parts.push("not monitored");
  const decided = { asked: "a person is asked about a challenger", promoted: "a challenger was promoted", rejected: "a challenger was rejected", failed: "a training or deployment failed" };
  if (day.decided) parts.push(decided[day.decided] ?? `decided: ${day.decided}`);
  return parts.join("; ");
}

function summary(days) {
  const many = (test) => days.filter(test).length;
  const parts = [`${plural(days.length, "day")} from ${days[0].as_of} to ${days.at(-1).as_of}`, `${count(many((day) => day.matured))} scored and matured`];
  const scored = many((day) => day.reached === "scored");
  if (scored) parts.push(`${count(scored)} scored and waiting for labels`);
  for (const [key, told] of [["failed", "halted or failed"], ["waived", "waived"], ["missing", "missing"]]) {
    const found = many((day) => day[key]);
    parts.push(found ? `${count(found)} ${told}` : `none ${told}`);
  }
  return `${parts.join(", ")}.`;
}

function month(key, days) {
  const [year, number] = key.split("-").map(Number);
  const cells = days.map((day) => {
    const at = new Date(`${day.as_of}T00:00:00Z`);
    const kinds = day.missing ? "missing" : `${day.reached}${day.failed ? " failed" : ""}${day.waived ? " waived" : ""}`;
    const column = ((at.getUTCDay() + 6) % 7) + 1;
    const first = (new Date(Date.UTC(year, number - 1, 1)).getUTCDay() + 6) % 7;
    const row = Math.floor((at.getUTCDate() - 1 + first) / 7) + 1;
    return el("button", { type: "button", class: `day ${kinds}`, tabindex: "-1", "data-day": day.as_of, "data-told": `${WEEKDAYS[at.getUTCDay()]} ${day.as_of}: ${day.told}.`, "aria-label": `${day.as_of}: ${day.told}`, style: { "grid-column": column, "grid-row": row } });
  });
  return el("div", { class: "month" }, el("h3", {}, MONTHS[number - 1].slice(0, 3), " ", el("span", { class: "quiet" }, String(year))), el("div", { class: "cells", role: "group", "aria-label": `${MONTHS[number - 1]} ${year}` }, cells));
}

/** One stop of the tab key; arrows move by a day or a week, Home and End to the ends. Words come with focus and hover. */
function roam(calendar) {
  const cells = [...calendar.querySelectorAll(".day")];
  if (!cells.length) return;
  cells.at(-1).tabIndex = 0;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };
  calendar.onkeydown = (event) => {
    if (event.key === "Escape") return hide();
    const here = cells.indexOf(document.activeElement);
    let to = event.key === "Home" ? 0 : event.key === "End" ? cells.length - 1 : null;
    if (event.key in steps) to = Math.min(Math.max(here + steps[event.key], 0), cells.length - 1);
    if (here < 0 || to === null) return;
    event.preventDefault();
    cells[here].tabIndex = -1;
    cells[to].tabIndex = 0;
    cells[to].focus();
  };
  calendar.onfocusin = calendar.onpointerover = calendar.onclick = (event) => {
    const day = event.target.closest("[data-told]");
    if (day) say(day);
  };
  calendar.addEventListener("focusin", (event) => event.target.dataset.told && say(event.target));
  calendar.onpointerleave = hide;
  calendar.addEventListener("focusout", hide);
}

const hide = () => (byId("tip").hidden = true);

function say(day) {
  const tip = byId("tip");
  tip.textContent = day.dataset.told;
  tip.hidden = false;
  const at = day.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  const left = Math.min(Math.max(at.left + at.width / 2 - size.width / 2, 8), document.documentElement.clientWidth - size.width - 8);
  const above = at.top - size.height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 4 ? above : at.bottom + 8}px`;
}
