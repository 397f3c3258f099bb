"""A year of the tables that the Model board shows, as a busy deployment would have left them. The same on every call.

It writes rows and nothing else: what they mean is made by the chain, and tested there.
"""

import json
import math
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from include.core import warehouse

FIRST = date(2021, 1, 1)
DAYS = 365
LAST = FIRST + timedelta(days=DAYS - 1)
FIRST_SCORED = FIRST + timedelta(days=60)
HALTED, MISSING, WAIVED, RESTATED = (FIRST + timedelta(days=n) for n in (200, 120, 150, 250))
LABEL_DAYS, WINDOW, ROWS = 2, 28, 900
SOURCES = ("outcomes", "orders", "climate")
FEATURES = tuple(
    f"{entity}_{what}"
    for entity in ("site", "route", "vendor", "hour", "climate")
    for what in ("late_rate_7d", "late_rate_28d", "volume_7d", "mean_wait_28d", "kind", "load")
)
GROUPS = {"region": ("north", "south", "west"), "vendors": ("large", "small", "other")}
# Version, day of its training, route, outcome, who.
TRAININGS = (
    (1, 60, "promote", "promoted", "gate"),
    (2, 100, "reject", "rejected", "gate"),
    (3, 131, "ask_a_person", "promoted", "admin"),
    (4, 162, "ask_a_person", "rejected", "admin"),
    (5, 193, "promote", "promoted", "gate"),
    (6, 230, "promote", "promoted", "gate"),
    (7, 270, "reject", "rejected", "gate"),
    (8, 310, "ask_a_person", "promoted", "maria"),
    (9, 363, "ask_a_person", None, None),
)
ROLLED_BACK = 245


def write(harm: bool = False) -> None:
    """Fill an empty warehouse with the year; `harm` leaves it with a calibration that is off."""
    dice = random.Random(7)
    with warehouse.transaction() as cursor:
        for schema, table, names, rows in (
            ("quality", "partitions", PARTITIONS, _partitions()),
            ("quality", "stages", ("as_of", "stage", "state", "detail", "run_id"), _stages()),
            ("quality", "check_results", CHECKS, _checks()),
            ("quality", "waivers", WAIVERS, _waivers()),
            ("ml", "models", MODELS, _models()),
            ("ml", "drift", DRIFT, _drift(dice)),
            ("ml", "performance", PERFORMANCE, _performance(dice, harm)),
            ("ml", "judgements", JUDGEMENTS, _judgements(harm)),
            ("ml", "alerts", ALERTS, _alerts(harm)),
        ):
            warehouse.copy_rows(cursor, schema, table, names, rows)
        for row in _decisions():
            cursor.execute(
                "insert into ml.decisions (as_of, challenger_version, champion_version, route, outcome, decided_by,"
                " reasons, metrics, effective_from, comment, run_id)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                row,
            )
        cursor.execute("analyze ml.performance, ml.drift")


PARTITIONS = ("as_of", "source", "file_sha256", "lines", "raw_rows", "quarantined_rows", "state", "run_id")
CHECKS = ("as_of", "source", "check_name", "first_day", "outcome", "measured")
WAIVERS = ("as_of", "source", "file_sha256", "checks", "waived_by", "reason", "run_id")
MODELS = (
    "model_version", "trained_as_of", "candidate", "artifact_path", "artifact_sha256", "mlflow_run_id", "fitted_from",
    "fitted_through", "data_hash", "features", "threshold",
)  # fmt: skip
DRIFT = ("as_of", "model_version", "feature", "psi", "js_distance", "missing", "missing_then", "unseen")
PERFORMANCE = (
    "as_of", "known_at", "window_days", "slice", "slice_group", "model_version", "days", "predictions", "matured",
    "coverage", "provisional", "positives", "predicted", "roc_auc", "average_precision", "brier", "ece", "cost",
    "baseline_cost",
)  # fmt: skip
JUDGEMENTS = (
    "as_of", "signal", "state", "model_version", "days", "value", "low", "high", "allowed", "since", "message",
)  # fmt: skip
ALERTS = ("as_of", "kind", "subject", "message", "since", "certainty", "next_step", "delivery")


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def _known() -> Iterator[date]:
    return (day(n) for n in range(DAYS) if day(n) != MISSING)


def _partitions() -> Iterator[tuple[Any, ...]]:
    for as_of in _known():
        for source in SOURCES:
            state = "checked"
            if source == SOURCES[0]:
                state = {HALTED: "failed", WAIVED: "waived"}.get(as_of, state)
            yield as_of, source, "0" * 64, ROWS, ROWS - 3, 3, state, "run"


def _stages() -> Iterator[tuple[Any, ...]]:
    trained = {day(number): outcome or "asked" for _, number, _, outcome, _ in TRAININGS}
    for as_of in _known():
        yield as_of, "ingested", "done", "{}", "run"
        yield as_of, "checked", {HALTED: "failed", WAIVED: "waived"}.get(as_of, "done"), "{}", "run"
        if as_of == HALTED:
            continue
        yield as_of, "built", "done", "{}", "run"
        if as_of < FIRST_SCORED:
            continue
        yield as_of, "scored", "no_champion" if as_of == FIRST_SCORED else "done", "{}", "run"
        yield as_of, "monitored", "done", json.dumps({"retrain": as_of in trained, "reason": "the calendar"}), "run"
        if as_of in trained:
            yield as_of, "decided", trained[as_of], "{}", "run"


def _checks() -> Iterator[tuple[Any, ...]]:
    for as_of in _known():
        for source in SOURCES:
            bad = source == SOURCES[0] and as_of in (HALTED, WAIVED)
            thin = source == "climate" and as_of.day == 17
            for name, outcome, measured in (
                ("every day has at least 800 rows", "fail" if bad else "pass", 412 if bad else ROWS),
                ("at most one in ten values is missing", "warn" if thin else "pass", 0.13 if thin else 0.02),
            ):
                yield as_of, source, name, as_of, outcome, measured


def _waivers() -> Iterator[tuple[Any, ...]]:
    checks = '{"every day has at least 800 rows"}'
    yield WAIVED, SOURCES[0], "0" * 64, checks, "admin", "A public holiday: there were no more.", "run"


def _models() -> Iterator[tuple[Any, ...]]:
    for version, number, *_ in TRAININGS:
        candidate = ("logistic_regression", "gradient_boosting", "blend")[version % 3]
        run, sha = f"{version:032x}", f"{version:064x}"
        yield (
            version, day(number), candidate, f"models:/x/{version}/model.skops", sha, run, FIRST, day(number - 17), sha,
            "[]", 0.25,
        )  # fmt: skip


def _decisions() -> Iterator[tuple[Any, ...]]:
    champion = None
    for version, number, route, outcome, who in TRAININGS:
        if outcome is None:
            continue
        reasons = {
            "promote": ["cheaper beyond chance: cost per row -0.021 (-0.034 to -0.009)"],
            "reject": ["not cheaper: cost per row +0.004 (-0.006 to +0.015)"],
            "ask_a_person": [
                "cheaper, but perhaps by chance: cost per row -0.006 (-0.018 to +0.005)",
                "region 'west' pays for it: cost per row +0.04 (+0.01 to +0.07), and 0.03 is the margin",
            ],
        }[route]
        effective = day(number + 1) if outcome == "promoted" else None
        said = "Two winters agree; watch the west." if who == "maria" else ""
        yield day(number), version, champion, route, outcome, who, reasons, "{}", effective, said, f"run{version}"
        if outcome == "promoted":
            champion = version
        if version == 6:
            why = "It was fitted on a week of broken outcomes."
            yield (
                day(ROLLED_BACK), 5, 6, "roll_back", "rolled_back", "admin", [why], "{}", day(231), why, "back"
            )  # fmt: skip
            champion = 5


def champion_of(as_of: date) -> int:
    version = 1
    for number, trained, _, outcome, _ in TRAININGS:
        if outcome == "promoted" and number != 6 and day(trained + 1) <= as_of:
            version = number
    return version


def _drift(dice: random.Random) -> Iterator[tuple[Any, ...]]:
    for as_of in _known():
        if as_of <= FIRST_SCORED or as_of == HALTED:
            continue
        season = math.sin((as_of - FIRST).days / 365 * 2 * math.pi)
        for number, feature in enumerate([*FEATURES, "probability"]):
            text = feature.endswith("kind")
            base = 0.015 + 0.09 * max(0.0, season * math.cos(number)) + 0.02 * dice.random()
            psi = base * (1 + 4 * (feature == "climate_load" and as_of > day(280)))
            missing = 0.02 + 0.3 * (feature.startswith("climate") and as_of.day == 17)
            unseen = 0.01 * dice.random() if text else None
            yield as_of, champion_of(as_of), feature, psi, math.sqrt(psi) / 3, missing, 0.02, unseen


def _performance(dice: random.Random, harm: bool) -> Iterator[tuple[Any, ...]]:
    scored = [as_of for as_of in _known() if as_of > FIRST_SCORED and as_of != HALTED]
    for as_of in scored:
        shift = 0.09 if harm and as_of > day(330) else 0.0
        figures = _figures(dice, as_of, shift, noise=1.0)
        for late in range(1, LABEL_DAYS + 1):
            if as_of + timedelta(days=late) <= LAST:
                provisional = late < LABEL_DAYS
                yield _look(as_of, as_of + timedelta(days=late), 1, provisional, figures)
                for number, (name, groups) in enumerate(GROUPS.items()):
                    for place, group in enumerate(groups):
                        part = _figures(dice, as_of, shift + 0.01 * (place - number), noise=2.0, rows=ROWS // 3)
                        yield _look(as_of, as_of + timedelta(days=late), 1, provisional, part, name, group)
        if as_of + timedelta(days=LABEL_DAYS) <= LAST:
            known_at = as_of + timedelta(days=LABEL_DAYS)
            window = _figures(dice, as_of, shift, noise=0.15, rows=ROWS * WINDOW)
            yield _look(as_of, known_at, WINDOW, False, window)
            for number, (name, groups) in enumerate(GROUPS.items()):
                for place, group in enumerate(groups):
                    rows = ROWS * WINDOW // (2 + 3 * place)
                    part = _figures(dice, as_of, shift + 0.012 * (place - number), noise=0.2, rows=rows)
                    yield _look(as_of, known_at, WINDOW, False, part, name, group)
    # A correction ten days later: the look that counts has other figures.
    yield _look(RESTATED, RESTATED + timedelta(days=10), 1, False, {**figures, "matured": 801, "roc_auc": 0.5})


def _figures(dice: random.Random, as_of: date, shift: float, noise: float, rows: int = ROWS) -> dict[str, Any]:
    number = (as_of - FIRST).days
    rate = 0.22 + 0.06 * math.sin(number / 58) + 0.035 * noise * dice.gauss(0, 1)
    rate = min(max(rate, 0.05), 0.6)
    better = 0.012 * champion_of(as_of)
    cost = 0.46 + 0.5 * (rate - 0.22) - better + 0.03 * noise * dice.gauss(0, 1) + shift
    return {
        "rows": rows,
        "matured": rows - 4,
        "positives": round(rate * (rows - 4)),
        "predicted": min(max(rate + shift + 0.02 * noise * dice.gauss(0, 1), 0.02), 0.9),
        "roc_auc": min(0.69 + better + 0.02 * noise * dice.gauss(0, 1), 0.95),
        "average_precision": min(max(0.38 + better + 0.03 * noise * dice.gauss(0, 1), 0.05), 0.95),
        "brier": max(0.16 - better / 3 + 0.3 * (rate - 0.22) + 0.008 * noise * dice.gauss(0, 1), 0.02),
        "ece": abs(0.03 + shift + 0.02 * noise * dice.gauss(0, 1)),
        "cost": max(cost, 0.05),
        "baseline_cost": max(cost + better * 1.6 + 0.01 * noise * dice.gauss(0, 1), 0.05),
    }


def _look(
    as_of: date,
    known_at: date,
    window: int,
    provisional: bool,
    figures: dict[str, Any],
    part: str = "",
    group: str = "",
) -> tuple[Any, ...]:
    coverage = 0.91 if provisional else 0.997
    measures = ("positives", "predicted", "roc_auc", "average_precision", "brier", "ece", "cost", "baseline_cost")
    return (
        as_of, known_at, window, part, group, champion_of(as_of), window, figures["rows"], figures["matured"], coverage,
        provisional, *(figures[name] for name in measures),
    )  # fmt: skip


def _judgements(harm: bool) -> Iterator[tuple[Any, ...]]:
    for as_of in _known():
        if as_of < FIRST_SCORED or as_of == HALTED:
            continue
        version, days = champion_of(as_of), min(WINDOW, (as_of - FIRST_SCORED).days)
        bad = harm and as_of > day(345)
        if days < 14:
            told = f"{days} matured days of this champion; it takes 14 to tell"
            yield as_of, "calibration", "unknown", version, days, None, None, None, 0.1, None, told
        else:
            value = 0.131 if bad else 0.041
            told = f"calibration error {value} over {days} matured days; 0.1 is allowed"
            yield (
                as_of, "calibration", "harm" if bad else "healthy", version, days, value, value - 0.02, value + 0.03,
                0.1, day(331) if bad else None, told,
            )  # fmt: skip
        told = f"cost per row 0.412 over {days} matured days, 0.71 of what it costs without a model; 1 is allowed"
        yield as_of, "cost", "healthy", version, days, 0.71, 0.64, 0.79, 1.0, None, told
        told = f"99.7% of the labels of {as_of - timedelta(days=2)} have landed; 98% are needed"
        yield as_of, "labels", "healthy", version, 1, 0.997, None, None, 0.98, None, told


def _alerts(harm: bool) -> Iterator[tuple[Any, ...]]:
    for number in range(70, DAYS, 8):
        yield (
            day(number), "drift", "climate_load", "climate_load is 0.24 from its reference", None, "", "", "kept"
        )  # fmt: skip
    failed = f"'every day has at least 800 rows' failed for outcomes of {HALTED}: 412 rows"
    yield HALTED, "check_fail", "outcomes", failed, None, "", "Correct the drop, or waive the day.", "sent"
    yield day(363), "question", "deploy_model.ask_a_person", "Shall version 9 be promoted?", None, "", "", "sent"
    if harm:
        told = "<b>calibration</b> error 0.131 over 28 matured days; 0.1 is allowed"
        sure = "95 in 100 bootstraps of whole days lie beyond what is allowed"
        then = "Read the report of this alert, then retrain or roll back."
        yield day(346), "harm", "calibration", told, day(331), sure, then, "sent"
