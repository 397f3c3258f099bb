"""A load that is killed leaves the rows that were there, and its retry leaves those of an undisturbed load.

The tasks of `ingest_sources` run in processes of their own, which end by SIGKILL at moments spread over the load.
Nobody waits for the server to notice: it may still be at work for the dead when the retry begins.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from include.dataops import landing, staging
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of
from tests.warehouse.chain import checksum, execute, rows, value
from tests.warehouse.drop_files import DAY, checksums, load, write_drop

KILLS = 20
LINES = 12_000
EARLIER = as_csv(rows_of(DAY)).encode()
# Of every hundred lines two are not valid, and one has the key of the line before it.
LATER = as_csv(
    [
        [f"v{n - (n % 100 == 3)}", "" if n % 100 == 7 else "north", "x" if n % 100 == 9 else n % 90, DAY, ""]
        for n in range(LINES)
    ]
).encode()


@pytest.fixture(scope="module")
def zone(toy_template, new_database, tmp_path_factory):
    new_database(toy_template)
    folder = tmp_path_factory.mktemp("landing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", folder.as_uri())
        yield folder


def ingest(run_id: str, xcom: Path) -> None:
    """The two tasks; what the first one returns is kept, as Airflow does."""
    if not xcom.exists():
        staged = landing.stage_drop(domain, DAY, run_id)
        part = xcom.with_suffix(".part")
        part.write_text(json.dumps(staged))
        part.rename(xcom)
    landing.load_drop(domain, json.loads(xcom.read_text()), run_id)


def begin(work: Callable[[], None]) -> int:
    """Run `work` in a process of its own; its exit code is 0 when it came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def end(child: int) -> int:
    """The exit code of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def begin_anew(zone: Path) -> None:
    """A warehouse that holds the earlier content of the day, and a landing zone with the later one."""
    execute("truncate raw.visits, quarantine.rows, quality.partitions, quality.drops, quality.stages")
    write_drop(zone, EARLIER)
    load()
    write_drop(zone, LATER)


def everything() -> list[str | None]:
    """What the tasks may change."""
    return [*checksums(), checksum("quality", "stages")]


def left_in_staging() -> int:
    return value("select count(*) from pg_tables where schemaname = 'staging'")


def undisturbed(zone: Path, tmp_path: Path) -> tuple[list[str | None], float]:
    """What a load leaves that nobody disturbs, and the seconds that it takes."""
    seconds = []
    for run in ("warm", "cold"):
        begin_anew(zone)
        started = time.monotonic()
        assert end(begin(lambda run=run: ingest(run, tmp_path / f"{run}.json"))) == 0
        seconds.append(time.monotonic() - started)
        staging.drop_tables(run)
    lines = value("select lines from quality.partitions")
    assert (lines, value("select count(*) from raw.visits")) == (LINES, LINES * 97 // 100)
    return everything(), min(seconds)


def test_a_load_that_is_killed_at_any_moment_is_made_good_by_its_retry(zone, tmp_path):
    expected, seconds = undisturbed(zone, tmp_path)
    hit: Counter[str] = Counter()
    for number in range(2 * KILLS):
        if hit.total() == KILLS:
            break
        begin_anew(zone)
        before = everything()
        run_id, xcom = f"killed-{number}", tmp_path / f"{number}.json"
        child = begin(lambda run_id=run_id, xcom=xcom: ingest(run_id, xcom))
        time.sleep(seconds * (hit.total() + random.random()) / KILLS)
        os.kill(child, signal.SIGKILL)
        if end(child) == -signal.SIGKILL:
            hit["in stage_drop" if not xcom.exists() else "in load_drop"] += 1
        else:
            seconds *= 0.9  # the child was faster than the one that was measured
        assert checksums() in (before[:-1], expected[:-1])
        ingest(run_id, xcom)
        assert everything() == expected
        staging.drop_tables(run_id)
        assert left_in_staging() == 0
    assert hit.total() == KILLS, hit
    assert min(hit["in stage_drop"], hit["in load_drop"]) > 0, hit


@pytest.mark.parametrize("run_ids", [("one", "another"), ("one", "one")], ids=["two runs", "a run and its zombie"])
def test_two_loads_of_a_day_at_once_leave_what_one_leaves(zone, tmp_path, run_ids):
    expected, _ = undisturbed(zone, tmp_path)
    for _ in range(3):
        begin_anew(zone)
        children = [
            begin(lambda run_id=run_id, number=number: ingest(run_id, tmp_path / f"{time.time_ns()}-{number}.json"))
            for number, run_id in enumerate(run_ids)
        ]
        codes = [end(child) for child in children]
        assert codes == [0, 0]
        assert everything() == expected
        for run_id in run_ids:
            staging.drop_tables(run_id)
        assert left_in_staging() == 0


def test_a_load_that_is_killed_while_another_waits_for_it_does_not_hold_that_up(zone, tmp_path):
    expected, seconds = undisturbed(zone, tmp_path)
    begin_anew(zone)
    first, second = (
        begin(lambda run_id=run_id: ingest(run_id, tmp_path / f"{run_id}.json")) for run_id in ("first", "second")
    )
    time.sleep(seconds * 0.7)
    os.kill(first, signal.SIGKILL)
    end(first)
    assert end(second) == 0
    assert everything() == expected
    for run_id in ("first", "second"):
        staging.drop_tables(run_id)
    assert rows("select tablename from pg_tables where schemaname = 'staging'") == []
