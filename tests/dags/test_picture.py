"""README.md shows the chain that dags/ holds."""

import subprocess
import sys

from local.picture import BEGIN, END, README, REPO, place


def test_the_picture_in_the_readme_is_current() -> None:
    # A process of its own: Airflow reads its configuration once, and this command brings its own.
    checked = subprocess.run(
        [sys.executable, "-m", "local.picture", "--check"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_readme_has_a_row_for_every_dag() -> None:
    rows = [line for line in README.read_text().splitlines() if line.startswith("| `")]
    for file in sorted((REPO / "dags").glob("*.py")):
        assert any(row.startswith(f"| `{file.stem}` |") for row in rows), f"README.md has no row for {file.stem}"


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    once = place(text, "new")
    assert once == f"above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"
    assert place(once, "new") == once
