// Performance over time as small multiples: days faint, the trailing window strong, what happened to the model marked.
import { count, el, fill, number, plural, prose, rows, share } from "./dom.js";
import { clear, days, layout, plain, plot } from "./plots.js";

const HEIGHT = 190;
const CHARTS = [
  { title: "ROC-AUC", note: "higher is better", lines: [["roc_auc", "strong"]], told: number, floor: 0.5 },
  { title: "Average precision", note: "higher is better", lines: [["average_precision", "strong"]], told: number },
  { title: "Calibration error", note: "lower is better", lines: [["ece", "strong"]], told: number, limit: "max_ece", zero: true },
  { title: "Brier score", note: "lower is better", lines: [["brier", "strong"]], told: number },
  { title: "Predicted and observed rate", note: "apart: not calibrated", lines: [["observed", "other", "observed"], ["predicted", "strong", "predicted"]], told: share, percent: true },
  { title: "Cost per row", note: "lower is better", lines: [["baseline_cost", "other", "frozen first model"], ["cost", "strong", "champion"]], told: number },
];

export function drawCharts(found) {
  clear();
  const all = rows(found.performance).map((row) => ({ ...row, observed: row.matured ? row.positives / row.matured : null }));
  const daily = all.filter((row) => row.window_days === 1), trailing = all.filter((row) => row.window_days > 1);
  fill("performance-told", prose(tell(found, trailing)));
  fill("performance-legend", trailing.length || daily.length ? legend(found) : null);
  if (!daily.length) {
    fill("multiples", el("p", { class: "quiet" }, "No scored day has labels yet."));
    return;
  }
  fill("multiples", CHARTS.map((chart) => {
    const last = trailing.at(-1);
    const box = el("div", { class: "chart", role: "img", "aria-label": spoken(chart, trailing), style: { height: `${HEIGHT}px` } });
    plot(box, (colour) => figure(chart, found, daily, trailing, colour));
    return el("figure", {},
      el("figcaption", {},
        el("strong", {}, chart.title),
        el("span", { class: "now" }, last ? chart.lines.map(([key, kind, name]) => [el("span", { class: `key ${kind}` }), `${name ? `${name} ` : ""}${chart.told(last[key])}`]) : "–"),
        el("span", { class: "quiet" }, chart.note)),
      box);
  }));
}

function tell(found, trailing) {
  const [saved] = found.saving;
  const window = trailing.at(-1)?.window_days ?? found.project.window;
  const parts = [`Dots are days, the line is the trailing window of ${window} days.`];
  if (saved?.days) {
    const less = saved.baseline_cost - saved.cost;
    parts.push(`Against the first model, had it stayed as it was: ${count(Math.abs(less))} units of cost ${less >= 0 ? "saved" : "lost"} (${share(Math.abs(less) / saved.baseline_cost)}) over ${count(saved.rows)} rows of ${plural(saved.days, "day")}, ${saved.first_day} to ${saved.last_day}.`);
  }
  return parts.join(" ");
}

function legend() {
  return [["dot", "a day"], ["hollow", "provisional day"], ["rule", "trailing window"], ["promotion", "promotion"], ["rollback", "rollback"], ["rejection", "rejection"], ["alert", "alert"]]
    .map(([kind, told]) => el("li", {}, el("span", { class: `mark ${kind}`, "aria-hidden": "true" }), told));
}

function spoken(chart, trailing) {
  const last = trailing.at(-1), before = trailing.at(-61) ?? trailing[0];
  if (!last) return `${chart.title}: no complete window yet.`;
  return `${chart.title}. ${chart.lines.map(([key, , name]) => `${name ?? "Now"} ${chart.told(last[key])} on ${last.as_of}, ${chart.told(before[key])} on ${before.as_of}`).join("; ")}.`;
}

function figure(chart, found, daily, trailing, colour) {
  const data = [];
  const format = chart.percent ? ".1%" : ".3f";
  for (const [key, kind, name] of chart.lines) {
    if (kind === "strong" || chart.percent) {
      for (const provisional of [false, true]) {
        const of = daily.filter((row) => row.provisional === provisional);
        const marker = provisional ? { size: 6, symbol: "circle-open", color: colour[kind], line: { width: 1.5 } } : { size: 4, color: colour[kind], opacity: colour.faint };
        data.push({ x: of.map((row) => row.as_of), y: of.map((row) => row[key]), mode: "markers", marker, name: provisional ? "provisional" : "day", hovertemplate: `%{y:${format}}`, cliponaxis: false });
      }
    }
    data.push({ x: trailing.map((row) => row.as_of), y: trailing.map((row) => row[key]), mode: trailing.length < 3 ? "lines+markers" : "lines", marker: { size: 6 }, line: { color: colour[kind], width: 2, dash: kind === "other" ? "dot" : "solid" }, name: name ?? "window", hovertemplate: `<b>%{y:${format}}</b>`, connectgaps: false });
  }
  const { shapes, annotations, rug } = events(found, colour);
  if (chart.limit) {
    const y = found.project[chart.limit];
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: colour.harm, width: 1, dash: "dash" } });
    annotations.push({ xref: "paper", x: 0, y, text: `allowed ${y}`, showarrow: false, xanchor: "left", yanchor: "bottom", font: { size: 10, color: colour.harm } });
  }
  return {
    data: [...data, ...rug],
    layout: layout(colour, {
      height: HEIGHT,
      margin: { l: 40, r: 8, t: 18, b: 24 },
      hovermode: "x unified",
      xaxis: days(daily[0].as_of, found.span.last, 6),
      yaxis: { nticks: 4, tickformat: chart.percent ? ".0%" : "", range: span(chart, found, daily, trailing) },
      yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
      shapes,
      annotations,
    }),
  };
}

/** The range of the values; one wild day does not flatten the rest, and lies on the edge. */
function span(chart, found, daily, trailing) {
  const of = (table) => chart.lines.flatMap(([key]) => table.map((row) => row[key])).filter((value) => value !== null).sort((a, b) => a - b);
  const days = of(daily), strong = of(trailing);
  const at = (part) => days[Math.min(days.length - 1, Math.max(0, Math.round(part * (days.length - 1))))];
  let low = Math.min(at(0.01), strong[0] ?? Infinity), high = Math.max(at(0.99), strong.at(-1) ?? -Infinity);
  if (chart.limit) high = Math.max(high, found.project[chart.limit]);
  if (chart.zero) low = 0;
  const room = (high - low || 0.1) * 0.12;
  return [chart.zero ? 0 : low - room, high + room];
}

/** Changes of the champion as lines with the version above, rejections and alerts as marks on the lower edge. */
function events(found, colour) {
  const shapes = [], annotations = [];
  const within = (day) => day >= found.span.from && day <= found.span.last;
  const decisions = rows(found.decisions);
  for (const one of decisions.filter((row) => row.outcome !== "rejected")) {
    const back = one.outcome === "rolled_back";
    const x = back ? one.as_of : one.effective_from;
    if (!within(x)) continue;
    shapes.push({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, layer: "below", line: { color: back ? colour.warn : colour.mark, width: 1, dash: back ? "dash" : "solid" } });
    // Of two close changes the second is often a rollback: its label stands beside the line and not above it.
    annotations.push({ x, yref: "paper", y: 1, yanchor: back ? "top" : "bottom", xanchor: back ? "left" : "center", text: `${back ? "↺" : ""}v${one.challenger_version}`, showarrow: false, font: { size: 10, color: back ? colour.warn : colour.quiet } });
  }
  const rejected = decisions.filter((row) => row.outcome === "rejected" && within(row.as_of));
  const alerts = rows(found.alerts).filter((row) => within(row.as_of));
  const mark = (of, y, symbol, tint, told) => ({ x: of.map((row) => row.as_of), y: of.map(() => y), yaxis: "y2", mode: "markers", marker: { symbol, size: 7, color: tint, line: { color: tint, width: 1.5 } }, text: of.map(told), hovertemplate: "%{text}<extra></extra>", cliponaxis: false });
  return {
    shapes,
    annotations,
    rug: [
      mark(rejected, 0.02, "x-thin", colour.quiet, (row) => `rejected: version ${row.challenger_version}`),
      mark(alerts, 0.02, "triangle-up", colour.warn, (row) => `alert: ${plain(row.kind)}, ${plain(row.subject)}`),
    ],
  };
}
