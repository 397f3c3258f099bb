"""Replay the days after the history under several policies of retraining, print a table, and keep it under docs/.

`make backtest` builds a year of features in a warehouse of its own. Beside the table and the picture in docs/ it leaves
nothing. CANDIDATE names another candidate than the first one of the domain.
"""

import json
import os
import sys
import time
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import bench_server
from local.settings import REPO, LocalError

if TYPE_CHECKING:
    from include.modelops.backtest import Replay
    from include.modelops.backtest_result import Result

MODULE = "local.backtest"
PAGE, PICTURE = REPO / "docs" / "backtest.md", REPO / "docs" / "pictures" / "backtest.png"
# What people read and answer in a year: about one alert a month, and a training, which may end in a question.
MOST_ALERTS, MOST_TRAININGS = 12, 12
COLUMNS = (
    "Policy",
    "ROC-AUC",
    "Calibration error",
    "Cost",
    "Trainings",
    "Questions",
    "Promoted",
    "Alerts",
    "Worst stretch",
    "Days to detection",
)


def main() -> None:
    """Build the year, replay it in a process that reads it, and write what came out."""
    started = time.monotonic()
    with bench_server.server() as bench:
        bench_server.say("Building a year of features")
        bench.run("local.bench_features", "prepare")
        bench.run("local.bench_features", "chunks")
        bench_server.say("Replaying it")
        bench.run(MODULE, "replay", os.environ.get("CANDIDATE", ""))
    print(PAGE.read_text().partition("\n\n")[2].partition("<!-- end of table -->")[0])
    print(f"{time.monotonic() - started:.0f} seconds. The table is in {PAGE.relative_to(REPO)}.")


def replay(name: str) -> dict[str, float]:
    """Replay every policy on the warehouse of the environment; returns the seconds of each."""
    from include.modelops import backtest, backtest_result, backtest_rows
    from include.project import domain

    candidate = domain.candidate(name) if name else domain.candidates[0]
    first, last = domain.history_through + timedelta(days=1), domain.last_day or date.max
    test = backtest.Backtest(domain, candidate, backtest_rows.read_rows(domain, domain.first_day, last))
    replays, results, seconds = [], [], {}
    for policy in backtest.policies(domain):
        started = time.monotonic()
        replays.append(test.run(policy, first, last))
        results.append(backtest_result.result(test, replays[-1]))
        seconds[policy.name] = round(time.monotonic() - started, 1)
        bench_server.say(f"{policy.name}: {seconds[policy.name]:.0f} s")
    PAGE.write_text(page(results, replays, candidate.title, (first, last), policy_of(domain)))
    draw(test, replays, PICTURE)
    return seconds


def policy_of(domain: Any) -> str:
    """The name of the policy that the domain has."""
    from include.modelops import backtest

    same = [p.name for p in backtest.policies(domain) if p.retraining == domain.retraining and p.days is None]
    return same[0] if same else "one of its own"


def cheapest(results: "list[Result]") -> "list[Result]":
    """The policies that cost least, of those that stay within what people read and answer in a year."""
    quiet = [result for result in results if result.alerts <= MOST_ALERTS and result.trainings <= MOST_TRAININGS]
    least = min(round(result.cost, 4) for result in quiet)
    return [result for result in quiet if round(result.cost, 4) == least]


def page(results: "list[Result]", replays: "list[Replay]", candidate: str, days: tuple[date, date], own: str) -> str:
    """The text of docs/backtest.md."""
    best = " and ".join(f"*{result.policy}*" for result in cheapest(results))
    lines = [
        "# Policies of retraining, compared",
        "",
        f"`make backtest` lived through {days[0]} to {days[1]} under each policy, with the code that judges, trains and"
        f" gates in life, and the candidate `{candidate}`. Every policy begins with the same model, fitted on all days"
        " before. Where the gate would ask a person, the answer is yes.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(row(result) for result in results),
        "<!-- end of table -->",
        "",
        "ROC-AUC and calibration error are means over the months, cost is per row. The worst stretch is the one of the"
        " year in which, looking back, more was off than the domain allows; detection is the first alert about harm or"
        " drift from its first day on.",
        "",
        f"Of the policies with at most {MOST_ALERTS} alerts and {MOST_TRAININGS} trainings in the year {best} cost"
        f" least. The domain's policy is *{own}*.",
        "",
        "![calibration error and cost over the year, per policy](pictures/backtest.png)",
        "",
        "What was told, and when a training was asked for:",
        "",
    ]
    for replayed in replays:
        told = ", ".join(f"{day} {alert.kind} of {alert.subject}" for day, alert in replayed.alerts) or "none"
        asked = ", ".join(f"{day} ({route})" for day, route in replayed.trainings.items()) or "none"
        lines.append(f"- **{replayed.policy.name}**. Alerts: {told}. Trainings: {asked}.")
    return "\n".join(lines) + "\n"


def row(result: "Result") -> str:
    """A line of the table."""
    found = asdict(result)
    stretch = "none" if result.harm_since is None else f"{result.harm_since} to {result.harm_until}"
    detection = "not told" if result.days_to_detection is None and result.harm_since else result.days_to_detection
    cells = [
        result.policy,
        *(f"{found[name]:.4f}" for name in ("roc_auc", "ece", "cost")),
        *(str(found[name]) for name in ("trainings", "questions", "promotions", "alerts")),
        stretch,
        "" if detection is None else str(detection),
    ]
    return f"| {' | '.join(cells)} |"


def draw(test: Any, replays: "list[Replay]", path: Path) -> None:
    """Trailing calibration error and cost of every policy, with its alerts and promotions."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from include.modelops import backtest_result

    colours = ("#888888", "#e69f00", "#0072b2", "#56b4e9", "#d55e00", "#cc79a7", "#009e73")
    figure, (calibration, cost) = plt.subplots(2, 1, figsize=(11, 7), sharex=True, layout="constrained")
    for replayed, colour in zip(replays, colours, strict=False):
        found = list(backtest_result.trailing(test, replayed))
        days = [day for day, *_ in found]
        style = {"color": colour, "lw": 1.6, "label": replayed.policy.name}
        calibration.plot(days, [value for _, value, _ in found], **style)
        cost.plot(days, [value for *_, value in found], **style)
        told = dict.fromkeys(day for day, _ in replayed.alerts)
        known = {day: value for day, value, _ in found}
        marked = [day for day in told if day in known]
        calibration.plot(marked, [known[day] for day in marked], "v", color=colour, ms=8, mec="black", mew=0.6)
    calibration.axhline(test.domain.monitoring.max_ece, color="black", lw=0.8, ls=":")
    calibration.set_ylabel(f"calibration error, {test.domain.monitoring.window} days")
    calibration.set_title("Triangles: alerts. Dotted: what the domain allows.", fontsize=10, loc="left")
    cost.set_ylabel("cost per row, same days")
    for axes in (calibration, cost):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=0)
    calibration.legend(frameon=False, ncols=4, fontsize=9, loc="upper right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["replay"]:
            print(json.dumps(replay(sys.argv[2])))
        else:
            main()
    except LocalError as error:
        sys.exit(str(error))
