// The page: read once, texts first, charts when they come into view; words when there is nothing to show.
import { drawCalendar } from "./calendar.js";
import { drawCharts } from "./charts.js";
import { byId, fill, leave, prose } from "./dom.js";
import { drawChampion, drawSignals } from "./champion.js";
import { drawHeat } from "./heat.js";
import { drawTables } from "./tables.js";

const RETRY_SECONDS = 10;
const GIVE_UP_SECONDS = 30;
let timer = null;

async function read() {
  window.clearInterval(timer);
  byId("waits").textContent = "";
  const days = byId("range").value;
  try {
    const reply = await fetch(`data?days=${days}`, { signal: AbortSignal.timeout(GIVE_UP_SECONDS * 1000) });
    if (reply.status === 401 || reply.status === 403) {
      return tell("Your session has ended.", "Log in to Airflow again, then reload this page.");
    }
    const found = await reply.json();
    if (found.state === "ready") return show(found);
    if (!found.what) throw new Error(`status ${reply.status}`);
    tell(found.what, found.next, true);
  } catch (error) {
    console.warn(error);
    tell("Airflow does not answer.", "See that the API server runs. The page tries again by itself.", true);
  }
}

function show(found) {
  const { span, project } = found;
  byId("about").textContent = `${project.name} · as-of days ${span.from} to ${span.last}`;
  for (const id of ["controls", "contents", "board"]) byId(id).hidden = false;
  byId("notice").hidden = true;
  drawChampion(found);
  drawSignals(found);
  drawCalendar(found);
  drawTables(found);
  performance.mark("board-text");
  drawCharts(found);
  drawHeat(found);
  document.documentElement.dataset.state = "ready";
}

function tell(what, next, again = false) {
  byId("about").textContent = "";
  byId("board").hidden = true;
  byId("contents").hidden = true;
  byId("notice").hidden = false;
  byId("what").textContent = what;
  fill("next", prose(next));
  document.documentElement.dataset.state = "notice";
  if (!again) return;
  let left = RETRY_SECONDS;
  timer = window.setInterval(() => {
    left -= 1;
    byId("waits").textContent = `Tries again in ${left} s.`;
    if (left <= 0) read();
  }, 1000);
}

byId("reload").addEventListener("click", read);
byId("retry").addEventListener("click", read);
byId("range").addEventListener("change", read);
const own = byId("window");
own.hidden = window.parent === window;
own.target = "_blank";
own.addEventListener("click", leave);
read();
