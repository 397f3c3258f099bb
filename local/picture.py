"""Draw the chain as a Mermaid flowchart in README.md, from the schedules and outlets of the DAGs themselves.

    python -m local.picture            write it
    python -m local.picture --check    exit code 1 when README.md shows another chain than dags/ holds

No database and no running Airflow is needed.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from local.settings import REPO

README = REPO / "README.md"
BEGIN, END = "<!-- picture: `make picture` writes this -->", "<!-- end of the picture -->"


def main() -> int:
    """Write or check the picture; 1 when README.md is out of date or a DAG file does not import."""
    parser = argparse.ArgumentParser(prog="python -m local.picture")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when it is out of date")
    arguments = parser.parse_args()
    text = README.read_text()
    try:
        current = place(text, draw(load_dags(REPO / "dags")))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if current == text:
        print("The picture in README.md is current.")
        return 0
    if arguments.check:
        print("README.md shows another chain than dags/ holds. Run: make picture", file=sys.stderr)
        return 1
    README.write_text(current)
    print("Wrote the picture into README.md.")
    return 0


def load_dags(folder: Path) -> list[Any]:
    """Every DAG of `folder`, by its id. A ValueError tells which file does not import."""
    with tempfile.TemporaryDirectory() as home:
        # Read by Airflow when it is first imported. An empty home: nobody's configuration or plugins count.
        os.environ["AIRFLOW_HOME"] = home
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(folder)
    if bag.import_errors:
        raise ValueError("\n".join(bag.import_errors.values()))
    return [bag.dags[dag_id] for dag_id in sorted(bag.dags)]


def draw(dags: list[Any]) -> str:
    """The flowchart: a node for each DAG, an edge for each Dataset, and the routes of a DAG that branches."""
    waiting: dict[str, list[str]] = {}
    for dag in dags:
        for name in awaited(dag.timetable):
            waiting.setdefault(name, []).append(dag.dag_id)
    ordered = sorted(dags, key=lambda dag: _depth(dag, dags))
    lines = [f"    {dag.dag_id}" for dag in ordered]
    for dag in ordered:
        lines += start_of(dag)
        lines += routes_of(dag)
        for source, name in announcements(dag):
            targets = waiting.get(name) or [f"{name}([{name}])"]
            lines += [f"    {source} -- {name} --> {target}" for target in targets]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def awaited(timetable: Any) -> list[str]:
    """The short names of the Datasets that a DAG with this timetable waits for."""
    return [_short(asset) for asset in _assets(timetable.asset_condition)]


def start_of(dag: Any) -> list[str]:
    """What starts a DAG that waits for no Dataset: the clock, once, or a person with its Params."""
    if awaited(dag.timetable):
        return []
    if expression := getattr(dag.timetable, "expression", None):
        return [f'    drop[/the drop of a day/] -- "{_moment(expression)}" --> {dag.dag_id}']
    if dag.schedule is None:
        return [f'    person([a person]) -. "{", ".join(dag.params)}" .-> {dag.dag_id}']
    return [f"    start([first start]) -.-> {dag.dag_id}"]


def routes_of(dag: Any) -> list[str]:
    """An edge from the DAG to every task that it may branch to, and between those."""
    routes = _routes(dag)
    lines = [f"    {dag.dag_id} --> {_node(dag, name)}{{{{{name}}}}}" for name in routes]
    for name in routes:
        following = sorted({task.task_id for task in dag.get_task(name).get_flat_relatives()} & set(routes))
        lines += [f"    {_node(dag, name)} --> {_node(dag, other)}" for other in following]
    return lines


def announcements(dag: Any) -> Iterator[tuple[str, str]]:
    """(node, Dataset) of every outlet: the node is the DAG, or one of its routes."""
    routes = _routes(dag)
    for task in dag.tasks:
        for asset in task.outlets:
            yield (_node(dag, task.task_id) if task.task_id in routes else dag.dag_id), _short(asset)


def place(text: str, picture: str) -> str:
    """`text` with the picture between the two markers; a ValueError when it does not have both."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md needs the two lines '{BEGIN}' and '{END}'; the picture goes between them.")
    return f"{before}{begin}\n\n{picture}\n\n{end}{after}"


def _routes(dag: Any) -> list[str]:
    """The ids of the tasks that a branch chooses among, in the order of the DAG file.

    Ways that join again lead to the same end: between those there is nothing to draw.
    """
    chosen: set[str] = set()
    for task in filter(_branches, dag.tasks):
        ends = [dag.get_task(name).get_flat_relative_ids() for name in task.downstream_task_ids]
        if not set.intersection(*map(set, ends)):
            chosen |= task.downstream_task_ids
    return [task.task_id for task in dag.tasks if task.task_id in chosen]


def _branches(task: Any) -> bool:
    from airflow.sdk.bases.branch import BranchMixIn

    return isinstance(task, BranchMixIn)


def _node(dag: Any, route: str) -> str:
    return f"{dag.dag_id}__{route}"


def _assets(condition: Any) -> Iterable[Any]:
    """The assets in a condition, however it is nested."""
    if condition is None:
        return []
    parts = getattr(condition, "objects", None)
    return [condition] if parts is None else [asset for part in parts for asset in _assets(part)]


def _short(asset: Any) -> str:
    """The name without the domain before it: 'flights.raw' is 'raw'."""
    return str(asset.name).rpartition(".")[2]


def _depth(dag: Any, dags: list[Any]) -> tuple[int, str]:
    """How many Datasets lie between the start of the chain and this DAG, to draw it in that order."""
    wanted = set(awaited(dag.timetable))
    before = [other for other in dags if other is not dag and wanted & {name for _, name in announcements(other)}]
    return (1 + max(_depth(other, dags)[0] for other in before) if before else 0), dag.dag_id


def _moment(expression: str) -> str:
    """A daily cron expression as a time of day; any other as it is."""
    daily = re.fullmatch(r"(\d+) (\d+) \* \* \*", expression)
    return f"every day at {int(daily[2]):02d}:{int(daily[1]):02d}" if daily else expression


if __name__ == "__main__":
    sys.exit(main())
