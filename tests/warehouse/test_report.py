"""An alert is explained by a page beside the model in MLflow: whole, alone, and one a day."""

import re
import sys
from datetime import date, timedelta

import pytest

from include.core import warehouse
from include.core.domain import days_between
from include.core.ledger import NotReadyError
from include.modelops import champion, report, scoring
from include.modelops.champion import PROMOTED, Decision
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, execute, rows, value

EARLY, LAST = date(2020, 3, 4), date(2020, 3, 8)
PATH = f"reports/{LAST}.html"


@pytest.fixture
def scored(trained) -> str:
    """Version 1 is champion from 4 March on and has scored every day since; returns its run in MLflow."""
    with warehouse.transaction() as cursor:
        champion.record(
            cursor, Decision(EARLY, 1, None, "promote", PROMOTED, "gate", ["for a test"], {}, EARLY, "", RUN)
        )
    for day in days_between(EARLY, LAST):
        scoring.score_day(domain, day, RUN)
    return value("select mlflow_run_id from ml.models where model_version = 1")


@pytest.fixture
def page(registry_server, tmp_path):
    """The text of an artifact: `page(run, path)`."""
    import mlflow

    def read(run: str, path: str = PATH) -> str:
        return (
            tmp_path / mlflow.artifacts.download_artifacts(run_id=run, artifact_path=path, dst_path=tmp_path)
        ).read_text()

    return read


def kept(run: str) -> list[str]:
    import mlflow

    return [found.path for found in mlflow.MlflowClient().list_artifacts(run, report.FOLDER)]


def test_the_page_names_the_version_the_days_and_every_feature(scored, page):
    assert report.explain(domain, LAST) == PATH
    found = page(scored)
    assert re.fullmatch(r"<!DOCTYPE html>.*</html>", found, re.DOTALL)
    fitted = rows("select fitted_from, fitted_through from ml.models where model_version = 1")[0]
    (heading,) = re.findall("<h1[^>]*>(.*?)</h1>", found)
    for said in ("version 1", *map(str, (*fitted, LAST)), "40 scored rows"):
        assert said in heading
    assert all(f'"{feature.name}"' in found or f" {feature.name}" in found for feature in domain.features)
    assert "PSI" in found


def test_the_days_of_the_window_are_those_that_are_asked_for(scored, page):
    report.explain(domain, LAST, days=2)
    assert f"{LAST - timedelta(days=1)} to {LAST}" in page(scored)
    assert "16 scored rows" in page(scored)


def test_the_page_loads_nothing_from_elsewhere(scored, page):
    report.explain(domain, LAST)
    tags = re.findall(r"<(?:script|link|img|iframe|object|embed|base)\b[^>]*>", page(scored).split("</script>", 1)[0])
    assert tags == ["<script>"]
    assert not re.search(
        r"<script[^>]*\ssrc|<link\b[^>]*href|@import\s+(?:url|\")|url\(\s*[\"']?(?:https?:)?//", page(scored)
    )


def test_the_same_day_again_replaces_its_page_and_another_day_has_its_own(scored, page):
    report.explain(domain, LAST, days=2)
    report.explain(domain, LAST, days=3)
    assert kept(scored).count(PATH) == 1
    assert "24 scored rows" in page(scored)
    report.explain(domain, EARLY)
    assert kept(scored) == [f"reports/{EARLY}.html", PATH]
    assert f"{EARLY} against" in page(scored, kept(scored)[0])


def test_without_a_champion_there_is_nothing_to_explain(trained):
    assert report.explain(domain, LAST) is None


def test_a_champion_that_has_scored_nothing_explains_nothing(scored):
    execute("delete from ml.predictions")
    day = LAST - timedelta(days=1)
    assert report.explain(domain, day) is None
    assert f"reports/{day}.html" not in kept(scored)


def test_days_whose_features_are_of_another_version_are_refused(scored):
    execute("update features.partitions set version = 'another' where as_of = %s", (EARLY,))
    with pytest.raises(NotReadyError, match="backfill_features"):
        report.explain(domain, LAST)


def test_a_feature_without_a_value_is_counted_as_missing(scored, page):
    execute("update features.visits_due set age = null, ward = null where as_of >= %s", (EARLY,))
    report.explain(domain, LAST)
    assert "Column 'age' missing values" in page(scored)
    assert "Column 'ward' missing values" in page(scored)


def test_a_category_cannot_run_a_script_in_the_page(scored, page):
    execute("update features.visits_due set ward = '</script><script>alert(1)' where as_of = %s", (LAST,))
    report.explain(domain, LAST)
    assert "alert(1)" in page(scored)
    assert "<script>alert(1)" not in page(scored)


def test_the_rows_are_a_sample_that_is_the_same_each_time(scored, monkeypatch):
    monkeypatch.setattr(report, "MOST_ROWS", 5)
    window = (EARLY, LAST)
    with warehouse.transaction() as cursor:
        first, again = (report._read(cursor, domain, 1, window, scored=True) for _ in range(2))
        everything = len(report._read(cursor, domain, 1, (domain.first_day, EARLY), scored=False))
    assert len(first) == everything == 5
    assert first.equals(again)
    assert first["probability"].notna().all()


def test_the_scores_are_compared_where_both_sides_have_them(scored, page):
    report.explain(domain, LAST)
    assert "probability" not in page(scored).split("</script>", 1)[0]
    execute(
        "insert into ml.predictions (as_of, entity_id, model_version, probability, decision, features_version,"
        " superseded) select m.fitted_through, p.entity_id, 1, p.probability / 2, p.decision, '', true"
        " from ml.predictions as p, ml.models as m where m.model_version = 1 and p.as_of = %s",
        (LAST,),
    )
    report.explain(domain, LAST)
    assert "probability" in page(scored).split("</script>", 1)[0]


def test_nothing_is_sent_to_the_makers_of_evidently(scored):
    report.explain(domain, LAST)
    assert "evidently.legacy.metrics" in sys.modules
    assert not {"evidently.telemetry", "iterative_telemetry"} & set(sys.modules)
