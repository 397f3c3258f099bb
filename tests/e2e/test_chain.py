"""The chain under a real scheduler, in a drill: a day halts, is waived, is corrected; one comes before its time; a drop
is late, one never comes.

The drill runs once. After each step it notes what it sees, and the tests look at these notes.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta

import pytest

from local import checksums
from local.airflow_api import AirflowApi
from local.settings import ADMIN
from tests.e2e.runtime import (
    Runtime,
    landed,
    services_of,
    states,
    task_state,
    wait,
    wait_until_prepared,
    write_drop,
)
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import rows_of

GOOD, BAD, NEXT, LATE, EARLY, NEVER = (domain.first_day + timedelta(days=n) for n in range(6))


@dataclass(frozen=True)
class Notes:
    """What is seen after a step: the states of a DAG's runs by day, and tables of the warehouse."""

    runs: dict[str, dict[date, list[str]]]
    stages: dict[date, dict[str, str]]
    drops: dict[date, str]
    alerts: dict[tuple[date, str], tuple[str, str]]
    features: dict[date, int]
    waivers: list[tuple]
    contents: dict[date, int]
    checksums: dict[str, str]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The services, with a thin drop for the bad day; whatever happened, nothing of them is left running."""
    runtime = Runtime(tmp_path_factory.mktemp("e2e"))
    write_drop(runtime, BAD, rows_of(BAD)[:3])
    with services_of(runtime):
        yield runtime


@pytest.fixture(scope="module")
def drill(runtime) -> dict[str, Notes]:
    """The notes after each step, by its name."""
    api = AirflowApi(runtime.settings)
    wait_until_prepared(runtime, api)
    notes = {}

    api.create_backfill("ingest_sources", GOOD.isoformat(), NEXT.isoformat())
    wait(
        lambda: runtime.stage(GOOD, "monitored") and states(api, "check_quality", BAD) == ["failed"], api.runs_by_state
    )
    wait(lambda: task_state(api, "build_features", NEXT, "build_views") == "deferred", api.runs_by_state)
    notes["halted"] = take_notes(runtime, api)

    api.trigger("check_quality", "waiver", {"waive": True, "reason": "three visits were all"}, BAD.isoformat())
    wait(lambda: runtime.stage(BAD, "monitored") and runtime.stage(NEXT, "monitored"), api.runs_by_state)
    notes["waived"] = take_notes(runtime, api)

    write_drop(runtime, BAD, rows_of(BAD))
    api.trigger("ingest_sources", "correction", {}, BAD.isoformat())
    wait(lambda: states(api, "monitor_drift", BAD) == ["success", "success"], api.runs_by_state)
    notes["corrected"] = take_notes(runtime, api)

    for day in (LATE, NEVER):
        landed(runtime, day).unlink()
    api.trigger("ingest_sources", "early", {}, EARLY.isoformat())
    wait(lambda: task_state(api, "build_features", EARLY, "build_views") == "deferred", api.runs_by_state)
    api.trigger("ingest_sources", "late", {}, LATE.isoformat())
    wait(lambda: task_state(api, "ingest_sources", LATE, "stage_drop") == "deferred", api.runs_by_state)
    notes["late"] = take_notes(runtime, api)
    write_drop(runtime, LATE, rows_of(LATE))
    wait(lambda: runtime.stage(LATE, "monitored") and runtime.stage(EARLY, "monitored"), api.runs_by_state)
    notes["out of order"] = take_notes(runtime, api)
    for day in (LATE, EARLY):
        api.trigger("ingest_sources", f"in_order_{day}", {}, day.isoformat())
        wait(lambda day=day: states(api, "monitor_drift", day) == ["success", "success"], api.runs_by_state)
    notes["in order"] = take_notes(runtime, api)
    api.trigger("ingest_sources", "never", {}, NEVER.isoformat())
    wait(lambda: states(api, "ingest_sources", NEVER) == ["failed"], api.runs_by_state)
    notes["end"] = take_notes(runtime, api)
    return notes


def take_notes(runtime: Runtime, api: AirflowApi) -> Notes:
    """What there is to see now."""
    runs: dict[str, dict[date, list[str]]] = {}
    for run in api.runs():
        if run["partition_key"]:
            of_day = runs.setdefault(run["dag_id"], {}).setdefault(date.fromisoformat(run["partition_key"]), [])
            of_day.append(run["state"])
    stages: dict[date, dict[str, str]] = {}
    for day, stage, state in runtime.rows("select as_of, stage, state from quality.stages"):
        stages.setdefault(day, {})[stage] = state
    return Notes(
        runs,
        stages,
        drops=dict(runtime.rows("select as_of, state from quality.partitions")),
        alerts={
            (day, kind): (subject, told)
            for day, kind, subject, told in runtime.rows("select as_of, kind, subject, message from ml.alerts")
        },
        features=dict(runtime.rows("select as_of, count(*) from features.visits_due group by 1")),
        waivers=runtime.rows("select as_of, waived_by, reason, checks from quality.waivers"),
        contents=dict(runtime.rows("select as_of, count(*) from quality.drops group by 1")),
        checksums=checksums.checksums(runtime.settings),
    )


def test_a_bad_day_halts_at_its_checks_and_takes_no_other_day_along(drill):
    runs = drill["halted"].runs
    assert runs["ingest_sources"] == {GOOD: ["success"], BAD: ["success"], NEXT: ["success"]}
    assert runs["check_quality"] == {GOOD: ["success"], BAD: ["failed"], NEXT: ["success"]}
    for dag_id in ("score_batch", "monitor_drift"):
        assert runs[dag_id] == {GOOD: ["success"]}
    for dag_id in ("train_model", "deploy_model", "archive_partitions"):
        assert dag_id not in runs
    assert drill["halted"].drops == {GOOD: "checked", BAD: "failed", NEXT: "checked"}


def test_the_good_day_went_through_to_the_end_of_the_chain(drill):
    assert drill["halted"].stages[GOOD] == {
        "ingested": "done",
        "checked": "done",
        "built": "done",
        "scored": "no_champion",
        "monitored": "done",
    }


def test_the_features_of_the_next_day_wait_for_the_bad_one_and_say_so(drill):
    halted = drill["halted"]
    assert halted.runs["build_features"] == {GOOD: ["success"], NEXT: ["running"]}
    assert set(halted.features) == {GOOD}
    subject, told = halted.alerts[NEXT, "waits"]
    assert subject == "build_features.build_views"
    assert f"{BAD} of visits (failed)" in told
    assert f"airflow backfill create --dag-id ingest_sources --from-date {BAD}" in told


def test_the_failure_is_an_alert_that_names_the_check_and_is_not_tried_again(drill, runtime):
    alerts = drill["halted"].alerts
    assert "every day has at least six visits" in alerts[BAD, "check_fail"][1]
    assert alerts[BAD, "task_failed"][0] == "check_quality.check_drop"
    assert set(alerts) == {(BAD, "check_fail"), (BAD, "task_failed"), (NEXT, "waits")}
    attempts = (runtime.settings.airflow_home / "logs" / "dag_id=check_quality").glob(
        "run_id=*/task_id=*/attempt=*.log"
    )
    assert {file.name for file in attempts} == {"attempt=1.log"}


def test_a_waiver_names_who_gave_it_and_the_chain_goes_on_with_that_day_and_those_that_waited(drill):
    waived = drill["waived"]
    assert waived.waivers == [(BAD, ADMIN, "three visits were all", ["every day has at least six visits"])]
    assert waived.drops == {GOOD: "checked", BAD: "waived", NEXT: "checked"}
    assert waived.stages[BAD]["checked"] == "waived"
    for day in (BAD, NEXT):
        assert set(waived.stages[day]) == {"ingested", "checked", "built", "scored", "monitored"}
        assert waived.runs["build_features"][day] == ["success"]
    assert waived.features == {GOOD: 8, BAD: 3, NEXT: 8}
    assert "three visits were all" in waived.alerts[BAD, "waived"][1]


def test_a_corrected_drop_replaces_the_day_down_the_chain_and_the_ledger_keeps_both_files(drill):
    corrected = drill["corrected"]
    assert corrected.drops[BAD] == "checked"
    assert corrected.stages[BAD]["checked"] == "done"
    assert corrected.features == {GOOD: 8, BAD: 8, NEXT: 8}
    assert corrected.contents == {GOOD: 1, BAD: 2, NEXT: 1}
    assert corrected.waivers == drill["waived"].waivers
    assert "They are built again" in corrected.alerts[BAD, "corrected_drop"][1]


def test_the_features_that_read_the_corrected_drop_are_built_again_with_it(drill, runtime):
    rate = runtime.rows("select ward, long_share_3d from features.ward_history where as_of = '2020-02-28' order by 1")
    assert date(2020, 2, 28) == NEXT
    minutes = [row for day in (GOOD, BAD, NEXT) for row in rows_of(day) if row[4] != ""]
    assert len(rate) == 2
    for ward, share in rate:
        long = [row[4] >= 30 for row in minutes if row[1] == ward]
        assert share == pytest.approx(sum(long) / len(long))
    assert runtime.rows("select distinct state from features.freshness") == [("fresh",)]


def test_a_late_drop_is_waited_for_without_a_worker_and_then_loaded(drill):
    late = drill["late"]
    assert late.runs["ingest_sources"][LATE] == ["running"]
    assert LATE not in late.drops
    subject, told = late.alerts[LATE, "waits"]
    assert subject == "ingest_sources.stage_drop"
    assert f"{LATE}/visits.csv" in told
    assert drill["end"].drops[LATE] == "checked"
    assert "monitored" in drill["end"].stages[LATE]


def test_a_day_that_came_before_the_one_it_reads_ends_as_if_it_had_come_after_it(drill):
    out_of_order, in_order = drill["out of order"], drill["in order"]
    assert out_of_order.features[LATE] == out_of_order.features[EARLY] == 8
    assert {name for name, found in out_of_order.checksums.items() if found != in_order.checksums[name]} == set()
    assert f"{LATE} of visits (not ingested)" in drill["late"].alerts[EARLY, "waits"][1]


def test_a_drop_that_never_comes_fails_with_the_path_it_was_looked_for_at(drill, runtime):
    subject, told = drill["end"].alerts[NEVER, "task_failed"]
    assert subject == "ingest_sources.stage_drop"
    assert f"{runtime.settings.landing.as_uri()}/{NEVER}/visits.csv" in told
    assert NEVER not in drill["end"].drops


def test_no_text_of_a_drop_is_left_in_staging(drill, runtime):
    tables = {name for (name,) in runtime.rows("select tablename from pg_tables where schemaname = 'staging'")}
    assert {name for name in tables if not name.startswith("reference_")} == set()


def test_the_registry_is_printed_with_what_each_view_lacks(drill, runtime):
    printed = runtime.command("local.features")
    assert printed.returncode == 0, printed.stderr
    for view in domain.built_views:
        assert re.search(
            rf"{view.name} +{view.kind} +{view.owner} +{view.version} +{view.reach} +5 of 5 *$", printed.stdout, re.M
        )
    assert "stale" in printed.stdout and "Not built" not in printed.stdout
