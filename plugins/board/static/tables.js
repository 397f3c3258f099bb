// Slices, quality, decisions and alerts, in words and small bars.
import { count, el, fill, more, number, plural, prose, rows, share, table, words } from "./dom.js";

export function drawTables(found) {
  drawSlices(found);
  drawQuality(found);
  drawDecisions(found);
  drawAlerts(found);
}

function drawSlices(found) {
  const all = rows(found.slices).map((row) => ({ ...row, observed: row.matured ? row.positives / row.matured : null }));
  const [whole] = all;
  fill("slices-told", whole && prose(`Each group of each slice over the ${plural(whole.days, "matured day")} to ${whole.as_of}.`));
  if (!whole) return fill("slices-table", el("p", { class: "quiet" }, "No window of days has matured yet."));
  const top = (key) => Math.max(...all.map((row) => row[key] ?? 0)) || 1;
  const tops = { ece: top("ece"), cost: Math.max(top("cost"), top("baseline_cost")) };
  const name = (row) => (row.slice === "" ? el("strong", {}, "All rows") : [el("span", { class: "quiet" }, `${words(row.slice)} `), row.slice_group]);
  fill("slices-table", table([
    ["Group", name],
    ["Rows", (row) => count(row.matured), "number"],
    ["Observed", (row) => share(row.observed), "number"],
    ["Predicted", (row) => share(row.predicted), "number"],
    ["ROC-AUC", (row) => bar(number(row.roc_auc), row.roc_auc === null ? null : (row.roc_auc - 0.5) / 0.5), "bars"],
    ["Calibration error", (row) => bar(number(row.ece), row.ece === null ? null : row.ece / tops.ece), "bars"],
    ["Cost per row", (row) => bar(number(row.cost), row.cost === null ? null : row.cost / tops.cost, row.baseline_cost === null ? null : row.baseline_cost / tops.cost), "bars"],
  ], all, { caption: "Performance by slice", first: 40 }),
  el("p", { class: "quiet small" }, "Bars of ROC-AUC begin at 0.5, chance. The tick in the bar of cost is the frozen first model."));
}

function bar(told, part, tick = null) {
  const width = (value) => `${Math.min(Math.max(value, 0), 1) * 100}%`;
  return [
    el("span", { class: "value" }, told),
    el("span", { class: "small-bar", "aria-hidden": "true" }, part !== null && el("span", { style: { width: width(part) } }), tick !== null && el("i", { style: { left: width(tick) } })),
  ];
}

function drawQuality(found) {
  fill("sources", table([
    ["Source", (row) => row.source],
    ["Drops", (row) => count(row.drops), "number"],
    ["Last", (row) => row.last_day],
    ["Lines", (row) => count(row.lines), "number"],
    ["In quarantine", (row) => `${count(row.quarantined)} (${share(row.lines ? row.quarantined / row.lines : 0, 2)})`, "number"],
    ["Halted now", (row) => count(row.failed), "number"],
    ["Waived", (row) => count(row.waived), "number"],
  ], rows(found.quality), { caption: "Drops by source", first: 30 }));
  const checks = rows(found.checks).map((row) => ({ ...row, marked: row.outcome === "warn" ? null : "bad" }));
  fill("checks", checks.length ? table([
    ["Day", (row) => row.as_of],
    ["Source", (row) => row.source],
    ["Check", (row) => row.check_name],
    ["Outcome", (row) => pill(row.outcome === "warn" ? "warned" : row.outcome === "error" ? "could not run" : "failed", row.outcome === "warn" ? "waived" : "harm")],
    ["Measured", (row) => (row.measured === null ? "–" : String(row.measured)), "number"],
    ["The drop now", (row) => row.state ?? "–"],
  ], checks, { caption: "Checks that did not pass", first: 8 }) : el("p", { class: "quiet" }, "Every check of these days passed."));
  const waivers = rows(found.waivers);
  fill("waivers", waivers.length ? table([
    ["Day", (row) => row.as_of],
    ["Source", (row) => row.source],
    ["Checks", (row) => row.checks.join("; ")],
    ["By", (row) => row.waived_by],
    ["Reason", (row) => row.reason],
  ], waivers, { caption: "Waivers", first: 8 }) : el("p", { class: "quiet" }, "Nobody waived a check in these days."));
}

const ROUTES = { promote: "gate promotes", ask_a_person: "a person is asked", reject: "gate rejects", roll_back: "rollback" };
const OUTCOMES = { promoted: ["promoted", "healthy"], rejected: ["rejected", "unknown"], rolled_back: ["rolled back", "waived"] };

function drawDecisions(found) {
  const all = rows(found.decisions);
  if (!all.length) return fill("decisions-table", el("p", { class: "quiet" }, "Nothing was decided yet. Every training ends in a decision of the gate or of a person, with its reasons."));
  fill("decisions-table", table([
    ["Day", (row) => row.as_of],
    ["Version", (row) => [el("strong", {}, String(row.challenger_version)), el("span", { class: "quiet" }, row.champion_version === null ? " first" : ` ${row.outcome === "rolled_back" ? "for" : "against"} ${row.champion_version}`)], "tight"],
    ["Route", (row) => ROUTES[row.route] ?? row.route, "tight"],
    ["Outcome", (row) => [pill(...(OUTCOMES[row.outcome] ?? [row.outcome, "unknown"])), row.effective_from && el("span", { class: "quiet small line" }, `from ${row.effective_from}`)], "tight"],
    ["Who", (row) => row.decided_by],
    ["Reasons", reasons, "wide"],
    ["Comment", (row) => row.comment || "–"],
  ], all, { caption: "Decisions about who is champion" }));
}

function reasons(row) {
  const [head, ...rest] = row.reasons;
  if (!rest.length) return head ?? "–";
  return el("details", {}, el("summary", {}, head, el("span", { class: "quiet" }, ` and ${rest.length} more`)), el("ul", {}, rest.map((one) => el("li", {}, one))));
}

const DELIVERIES = { sent: "sent", failed: "could not be sent", kept: "kept here: there is no connection `alerts`", withheld: "withheld: the month's alerts were used up" };

function drawAlerts(found) {
  const all = rows(found.alerts);
  if (!all.length) return fill("alerts-list", el("p", { class: "quiet" }, "No alert in these days."));
  const list = el("ol", { class: "alerts" }, all.slice(0, 10).map(alert));
  fill("alerts-list", list, more(all, 10, (rest) => list.append(...rest.map(alert))));
}

function alert(one) {
  const facts = [["Since", one.since], ["Certainty", one.certainty], ["Next step", one.next_step], ["Delivery", DELIVERIES[one.delivery] ?? one.delivery]].filter(([, told]) => told);
  return el("li", {},
    el("p", { class: "head" }, el("time", { datetime: one.as_of }, one.as_of), el("strong", {}, words(one.kind)), el("span", { class: "quiet" }, one.subject)),
    el("p", { class: "said" }, prose(one.message)),
    el("dl", {}, facts.map(([title, told]) => [el("dt", {}, title), el("dd", {}, prose(told))])));
}

const pill = (told, kind) => el("span", { class: `state ${kind}` }, told);
