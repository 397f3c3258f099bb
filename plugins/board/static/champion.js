// The champion and its figures, what waits for a person, and the three judgements.
import { byId, count, el, fill, number, out, plural, prose, rows, share, words } from "./dom.js";

const FIGURES = [
  ["ROC-AUC", "roc_auc", (v) => number(v)],
  ["Average precision", "average_precision", (v) => number(v)],
  ["Calibration error", "ece", (v) => number(v)],
  ["Brier score", "brier", (v) => number(v)],
  ["Predicted", "predicted", (v) => share(v)],
  ["Observed", "observed", (v) => share(v)],
  ["Cost per row", "cost", (v) => number(v)],
];

export function drawChampion(found) {
  const change = rows(found.changes).at(-1);
  const versions = rows(found.versions);
  const version = versions.find((one) => one.model_version === change?.challenger_version);
  const parts = version ? champion(found, version, change) : [nobody(found, versions)];
  fill("champion", ...parts, found.waiting.map((one) => waits(found, one)));
}

function champion(found, version, change) {
  const last = rows(found.performance).filter((row) => row.window_days > 1).at(-1);
  const back = change.rolled_back === null ? "" : `, put back in place of version ${change.rolled_back}`;
  return [
    el("div", { class: "champion" },
      el("p", { class: "eyebrow" }, "Champion"),
      el("h2", { class: "name" }, `Version ${version.model_version}`, el("span", { class: "quiet" }, ` ${words(version.candidate)}`)),
      el("p", {}, prose(`Scores since ${change.effective_from}${back}. Fitted on ${version.fitted_from} to ${version.fitted_through}, trained for ${version.trained_as_of}. Acts from a probability of ${number(version.threshold, 2)}.`)),
      links(found, version)),
    last ? figures(last, version) : el("p", { class: "quiet lead" }, `No window of days has matured yet: the labels of a day take ${plural(found.project.label_days, "day")}.`),
  ];
}

function figures(last, version) {
  const row = { ...last, observed: last.matured ? last.positives / last.matured : null };
  return el("div", {},
    el("dl", { class: "figures" }, FIGURES.map(([title, key, told]) => el("div", {}, el("dt", {}, title), el("dd", {}, told(row[key]))))),
    el("p", { class: "quiet" }, prose(`Over the ${plural(last.days, "matured day")} to ${last.as_of}: ${count(last.matured)} rows with a label.${last.model_version === version.model_version ? "" : ` Its last day was still scored by version ${last.model_version}.`}`)));
}

function links(found, version) {
  const base = found.project.mlflow;
  if (!base) return el("p", { class: "quiet" }, `MLflow run ${version.mlflow_run_id}. For links, set MLFLOW_UI_URL to the address of MLflow in a browser.`);
  return el("p", { class: "links" },
    out("Run in MLflow", `${base}/#/runs/${encodeURIComponent(version.mlflow_run_id)}`),
    out("Model card", `${base}/#/models/${encodeURIComponent(found.project.name)}/versions/${version.model_version}`));
}

function nobody(found, versions) {
  const trained = versions.length ? `${plural(versions.length, "version")} trained, none promoted yet.` : "No version has been trained yet.";
  return el("div", { class: "champion" },
    el("p", { class: "eyebrow" }, "Champion"),
    el("h2", { class: "name" }, "There is no champion yet"),
    el("p", {}, `${trained} Days go down the chain without predictions until the first training is promoted. monitor_drift asks for one once enough days have labels, and deploy_model decides; train_model can also be triggered by hand.`));
}

function waits(found, one) {
  return el("div", { class: "question" },
    el("p", {}, el("strong", {}, `Version ${one.model_version} waits for a person`), ` since ${one.as_of} (${words(one.candidate)}).`),
    one.message && el("p", {}, prose(one.message)),
    el("p", { class: "links" },
      out("Answer in Airflow", new URL("../required_actions", document.baseURI).href, { same: true }),
      found.project.mlflow && out("Its model card", `${found.project.mlflow}/#/models/${encodeURIComponent(found.project.name)}/versions/${one.model_version}`)));
}

const TITLES = { calibration: "Calibration", cost: "Cost", labels: "Labels" };
const STATES = { healthy: ["✓", "healthy"], harm: ["▲", "harm"], unknown: ["?", "not known yet"] };

export function drawSignals(found) {
  if (!found.judgements.length) {
    fill("signals", el("p", { class: "quiet" }, "Nothing has been judged yet: the first day that monitor_drift sees is the first to be judged."));
    return;
  }
  fill("signals", ["calibration", "cost", "labels"].map((name) => found.judgements.find((one) => one.signal === name)).filter(Boolean).map(signal));
}

function signal(one) {
  const [mark, word] = STATES[one.state] ?? ["?", one.state];
  return el("article", { class: `card ${one.state}` },
    el("header", {}, el("h3", {}, TITLES[one.signal] ?? one.signal), el("span", { class: `state ${one.state}` }, el("span", { "aria-hidden": "true" }, `${mark} `), word)),
    one.value !== null && interval(one),
    el("p", {}, prose(sentence(one.message))),
    el("p", { class: "quiet" }, prose(one.state === "harm" && one.since
      ? `Probably so since ${one.since}. Judged on ${one.as_of}.`
      : `So on every judged day since ${one.same_from}. Judged on ${one.as_of}.`)));
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

/** The interval of a judgement against its limit, as a bar; the words beside it say the same. */
function interval(one) {
  const isShare = one.signal === "labels";
  const low = one.low ?? one.value, high = one.high ?? one.value;
  const from = isShare ? Math.min(0.9, one.value, one.allowed) - 0.02 : 0;
  const to = isShare ? 1 : Math.max(high, one.allowed ?? 0) * 1.25 || 1;
  const at = (value) => `${Math.min(Math.max((value - from) / (to - from), 0), 1) * 100}%`;
  const told = isShare ? (v) => share(v) : (v) => number(v, one.signal === "cost" ? 2 : 3);
  const words = `${told(one.value)}${one.low === null ? "" : `, interval ${told(low)} to ${told(high)}`}; ${isShare ? "needed" : "allowed"} ${told(one.allowed)}`;
  return el("div", { class: "interval", role: "img", "aria-label": words },
    el("div", { class: "track" },
      one.low !== null && el("span", { class: "band", style: { left: at(low), right: `calc(100% - ${at(high)})` } }),
      el("span", { class: "limit", style: { left: at(one.allowed) } }),
      el("span", { class: "point", style: { left: at(one.value) } })),
    el("div", { class: "ends" }, el("span", {}, told(one.value), one.low === null ? null : el("span", { class: "quiet" }, ` (${told(low)} – ${told(high)})`)), el("span", { class: "quiet" }, `${isShare ? "needed" : "allowed"} ${told(one.allowed)}`)));
}
