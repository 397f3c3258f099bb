// What every chart shares: drawn when it comes near the view or the browser has time, and again when the theme changes.

const waiting = new Map();
const drawn = new Map();
let watcher = null;

export const ready = new Promise((resolve) => {
  if (window.Plotly) resolve();
  else document.querySelector("script[src*=plotly]").addEventListener("load", resolve);
});

/** The colours of the page, from its style sheet. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return { text: of("text"), quiet: of("quiet"), line: of("line"), mark: of("mark"), strong: of("strong"), other: of("other"), faint: of("faint"), harm: of("harm"), warn: of("warn"), panel: of("panel"), ramp: of("ramp").split(/\s*,\s*/) };
}

/** Draw `figure(colours)` ({data, layout}) into a box: at once when it is near the view, else when there is time. */
export function plot(box, figure) {
  watcher ??= new IntersectionObserver(come, { rootMargin: "200px" });
  drawn.delete(box);
  waiting.set(box, figure);
  watcher.observe(box);
}

/** Forget every chart of an earlier reading. */
export function clear() {
  watcher?.disconnect();
  watcher = null;
  drawn.forEach((_, box) => window.Plotly.purge(box));
  waiting.clear();
  drawn.clear();
}

async function come(entries) {
  await ready;
  for (const { target, isIntersecting } of entries) if (isIntersecting) await take(target);
  performance.mark("board-in-view");
  later();
}

/** Draw what waits, one chart at a time, whenever the browser is idle. */
function later() {
  const [next] = waiting.keys();
  if (!next) return performance.mark("board-drawn");
  const idle = window.requestIdleCallback ?? ((then) => window.setTimeout(then, 50));
  idle(async () => {
    if (waiting.has(next)) await take(next);
    later();
  });
}

async function take(box) {
  const figure = waiting.get(box);
  if (!figure) return;
  waiting.delete(box);
  watcher?.unobserve(box);
  if (!box.isConnected) return;
  drawn.set(box, figure);
  await draw(box, figure);
}

function draw(box, figure) {
  const { data, layout } = figure(colours());
  return window.Plotly.react(box, data, layout, { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false });
}

window.addEventListener("board-theme", () => drawn.forEach((figure, box) => box.isConnected && draw(box, figure)));

/** A layout without what no chart needs; `more` is laid over it. */
export function layout(colour, more = {}) {
  const axis = { fixedrange: true, showline: false, zeroline: false, ticks: "", gridcolor: colour.line, tickfont: { color: colour.quiet, size: 11 } };
  return {
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour.text },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    dragmode: false,
    hoverlabel: { bgcolor: colour.panel, bordercolor: colour.line, font: { color: colour.text, size: 12 }, align: "left" },
    ...more,
    xaxis: { ...axis, showgrid: false, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
  };
}

const DAY = 864e5;

/** An axis of whole days from `first` to `last`, with labels that fit on one line. */
export function days(first, last, ticks) {
  const [from, to] = [first, last].map((day) => new Date(`${day}T00:00Z`).getTime());
  const span = (to - from) / DAY;
  const step = span < 2 * ticks ? { tick0: first, dtick: Math.max(1, Math.ceil(span / ticks)) * DAY } : { nticks: ticks };
  const range = [from - DAY / 2, to + DAY / 2].map((moment) => new Date(moment).toISOString().slice(0, 19));
  return { type: "date", range, tickangle: 0, tickformat: span < 100 ? "%-d %b" : "%b %Y", hoverformat: "%Y-%m-%d", ...step };
}

/** Words for a label of plotly, which reads some mark-up in them. */
export const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
