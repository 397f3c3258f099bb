// Drift as a heat map, features by days, the scores on top. The scale has the marks that people know.
import { byId, el, fill, number, share } from "./dom.js";
import { days as axis, layout, plot } from "./plots.js";

const MEASURES = {
  psi: { title: "PSI", told: "Population stability index. Below 0.1 is hardly drift, above 0.2 is much.", top: 0.3, marks: [0, 0.1, 0.2, 0.3], format: number },
  js_distance: { title: "Jensen-Shannon", told: "Jensen-Shannon distance, from 0 for the same distribution to 1 for one that has nothing in common.", top: 0.3, marks: [0, 0.1, 0.2, 0.3], format: number },
  missing: { title: "Missing", told: "Share of rows without a value on the day; pointing at a day tells the share there was in the reference.", top: 0.3, marks: [0, 0.1, 0.2, 0.3], format: share },
  unseen: { title: "Unseen", told: "Share of rows in a category that the reference does not have; only for features with categories.", top: 0.1, marks: [0, 0.05, 0.1], format: share },
};
const ROW = 17;
const RECENT = 28;

export function drawHeat(found) {
  const { drift } = found;
  if (!drift.features.length) {
    fill("measures");
    fill("scale");
    byId("drift-told").textContent = "";
    fill("heat", el("p", { class: "quiet" }, "Nothing was measured yet: drift is measured against the champion's reference, from its first scored day on."));
    return;
  }
  const order = ordered(drift);
  fill("measures", Object.entries(MEASURES).map(([key, measure]) => el("label", {}, el("input", { type: "radio", name: "measure", value: key, checked: key === "psi", onchange: () => choose(found, key, order) }), el("span", {}, measure.title))));
  choose(found, "psi", order);
}

/** The scores first, then what drifted most of late. */
function ordered(drift) {
  const late = (line) => Math.max(0, ...drift.psi[line].slice(-RECENT).filter((value) => value !== null));
  const lines = drift.features.map((_, line) => line);
  return lines.sort((a, b) => (drift.features[b] === "probability") - (drift.features[a] === "probability") || late(b) - late(a));
}

function choose(found, key, order) {
  const measure = MEASURES[key], values = found.drift[key];
  const lines = order.filter((line) => values[line].some((value) => value !== null));
  byId("drift-told").textContent = `${measure.told} ${key === "psi" ? "What drifted most in the last four weeks stands on top, below the scores." : ""}`;
  fill("scale", el("div", { class: "ramp" }), el("div", { class: "marks" }, measure.marks.map((mark) => el("span", { style: { left: `${(mark / measure.top) * 100}%` } }, measure.format(mark, mark === 0 || key === "missing" || key === "unseen" ? 0 : 1), mark === measure.top ? "+" : null))));
  byId("scale").setAttribute("aria-label", `Colours from 0 to ${measure.format(measure.top, 1)} and more`);
  const box = el("div", { class: "chart", role: "img", "aria-label": spoken(found, key, lines), style: { height: `${lines.length * ROW + 44}px` } });
  if (!lines.length) {
    fill("heat", el("p", { class: "quiet" }, "No feature has this measure."));
    return;
  }
  fill("heat", box);
  plot(box, (colour) => figure(found, key, lines, colour, box.clientWidth));
}

function spoken(found, key, lines) {
  const latest = lines.map((line) => [label(found.drift.features[line]), found.drift[key][line].findLast((value) => value !== null)]);
  latest.sort((a, b) => b[1] - a[1]);
  return `${MEASURES[key].title} of ${lines.length} features by day. Highest on the last day: ${latest.slice(0, 3).map(([name, value]) => `${name} ${MEASURES[key].format(value)}`).join(", ")}.`;
}

const label = (feature) => (feature === "probability" ? "scores" : feature);

function figure(found, key, lines, colour, width) {
  const { drift, days } = found, measure = MEASURES[key];
  const names = lines.map((line) => label(drift.features[line]));
  const longest = width < 600 ? 20 : 36;
  const from = days.as_of[drift.model_version.findIndex((version) => version !== null)];
  const short = names.map((name) => (name.length > longest ? `${name.slice(0, longest - 1)}…` : name));
  const then = (line) => (key === "missing" ? `, ${share(drift.missing_then[line])} in the reference` : "");
  return {
    data: [{
      type: "heatmap",
      x: days.as_of,
      y: lines.map((_, index) => index),
      z: lines.map((line) => drift[key][line]),
      zmin: 0,
      zmax: measure.top,
      colorscale: colour.ramp.map((tint, index, all) => [index / (all.length - 1), tint]),
      showscale: false,
      ygap: 1,
      hoverongaps: false,
      text: lines.map((line, index) => days.as_of.map((day, at) => `${names[index]}<br>${day}: ${measure.format(drift[key][line][at])}${then(line)}`)),
      hovertemplate: "%{text}<extra></extra>",
    }],
    layout: layout(colour, {
      height: lines.length * ROW + 44,
      margin: { l: 8, r: 8, t: 4, b: 28 },
      xaxis: axis(from, found.span.last, width < 600 ? 4 : 8),
      yaxis: { autorange: "reversed", automargin: true, showgrid: false, tickvals: lines.map((_, index) => index), ticktext: short, tickfont: { size: width < 600 ? 9.5 : 11, color: colour.text } },
    }),
  };
}
