"""The registry of models: what is logged with a version, what is refused before it is loaded, and registrations that
are killed and done again.
"""

import functools
import hashlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from include.core import warehouse
from include.core.errors import DomainError
from include.modelops import card, champion, drift, registry
from include.modelops.snapshot import Snapshot, cut
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, execute, rows, value
from tests.warehouse.holding_proxy import HoldingProxy, holding_proxy

AS_OF = date(2020, 3, 5)


class Trap:
    """An object that leaves a file behind when it is built again."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __setstate__(self, state: dict) -> None:
        self.__dict__ = state
        Path(self.file).touch()


def version(number: int = 2) -> registry.ModelVersion:
    with warehouse.transaction() as cursor:
        return registry.read_version(cursor, number)


def fitted() -> tuple:
    """The toy candidate, calibrated, and rows that it takes."""
    import pandas as pd
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    numbers = np.arange(40)
    features = pd.DataFrame(
        {
            "age": numbers % 7 * 10.0,
            "ward": np.where(numbers % 2, "a", "b").astype(object),
            "long_share_3d": numbers / 40,
        }
    )
    labels = numbers % 3 == 0
    model = domain.candidates[0].estimator().fit(features, labels)
    return CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid").fit(features, labels), features


def facts(data_hash: str, mlflow_run: str) -> card.Facts:
    frozen = Snapshot(
        AS_OF, "", data_hash, 40, cut(domain, AS_OF), domain.feature_versions(), RUN, "a58f471", mlflow_run
    )
    return card.gather(domain, domain.candidates[0], frozen, [], fitted_rows=40, gate_rows=16)


def register(data_hash: str, mlflow_run: str) -> int:
    model, features = fitted()
    return registry.register(
        domain,
        domain.candidates[0],
        model,
        features,
        facts=facts(data_hash, mlflow_run),
        profile=drift.profile(domain, features, model.predict_proba(features)[:, 1]),
        mlflow_run=mlflow_run,
    )


def new_run() -> str:
    import mlflow

    experiment = mlflow.set_experiment(domain.name).experiment_id
    return mlflow.MlflowClient().create_run(experiment).info.run_id


def planted(content: bytes) -> registry.ModelVersion:
    """A version whose file has this content, with the hash that goes with it."""
    sha256 = hashlib.sha256(content).hexdigest()
    (registry.model_cache() / f"{sha256}.skops").write_bytes(content)
    return registry.ModelVersion(7, "logistic_regression", "models:/toy/7/model.skops", sha256, AS_OF, 0.25)


def versions_with(data_hash: str) -> list[int]:
    import mlflow

    made_from = registry.fingerprint(domain, data_hash)
    found = mlflow.MlflowClient().search_model_versions(f"name = 'toy' and tags.fingerprint = '{made_from}'")
    return [int(one.version) for one in found]


# What is logged


def test_a_version_says_what_it_takes_and_what_it_gives(trained):
    import mlflow

    info = mlflow.models.get_model_info("models:/toy/2")
    assert info.signature.inputs.input_names() == [feature.name for feature in domain.features]
    assert info.signature.outputs.inputs[0].shape == (-1, 2)
    assert info.flavors["python_function"]["predict_fn"] == "predict_proba"
    assert info.flavors["sklearn"]["serialization_format"] == "skops"
    assert info.saved_input_example_info["type"] == "dataframe"


def test_a_version_names_the_libraries_and_the_python_that_made_it(trained, tmp_path):
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts("models:/toy/2", dst_path=str(tmp_path)))
    asked = (folder / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in asked)
    assert {f"{name}=={metadata.version(name)}" for name in registry.MODEL_REQUIREMENTS} <= set(asked)
    assert f"python: {platform.python_version()}" in (folder / "python_env.yaml").read_text()


def test_the_version_belongs_to_the_run_of_its_training_which_runs_on(trained):
    import mlflow

    client, run = mlflow.MlflowClient(), new_run()
    number = register("runs on", run)
    assert client.get_model_version("toy", str(number)).run_id == run
    assert client.get_run(run).info.status == "RUNNING"
    assert mlflow.active_run() is None
    assert {file.path for file in client.list_artifacts(run)} >= {card.FACTS_FILE, card.FILE, card.PAGE_FILE}
    windows = cut(domain, AS_OF)
    assert rows(
        "select mlflow_run_id, trained_as_of, fitted_from, fitted_through from ml.models where model_version = %s",
        (number,),
    ) == [(run, AS_OF, windows.fit[0], windows.validation[1])]


def test_a_snapshot_is_registered_once_and_found_by_its_hash(trained):
    import mlflow

    assert registry.find(domain, "once") is None
    number = register("once", new_run())
    assert registry.find(domain, "once") == number
    assert register("once", new_run()) == number
    assert versions_with("once") == [number]
    assert mlflow.MlflowClient().get_model_version_by_alias("toy", "challenger").version == str(number)
    costly = replace(domain, costs=replace(domain.costs, missed=5.0))
    assert registry.find(costly, "once") is None


def test_a_version_that_the_warehouse_does_not_know_is_not_whole(trained):
    number = register("half", new_run())
    for table in ("reference_categories", "reference_edges", "reference_profiles", "models"):
        execute(f"delete from ml.{table} where model_version = %s", (number,))  # noqa: S608
    assert registry.find(domain, "half") is None
    assert register("half", new_run()) == number
    assert registry.find(domain, "half") == number
    assert value("select count(*) from ml.reference_edges where model_version = %s", (number,)) == 3


# What is refused


@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: [{"steps": trap}]], ids=["by itself", "deep inside"])
def test_a_file_with_a_type_that_is_not_listed_is_refused_before_anything_of_it_is_built(wrap, tmp_path):
    from skops import io

    file = tmp_path / "built"
    content = io.dumps(wrap(Trap(file)))
    with pytest.raises(DomainError, match=r"version 7 of toy holds types.*nothing of it was loaded: .*Trap.*add them"):
        registry.load(domain, planted(content))
    assert not file.exists()
    io.loads(content, trusted=["tests.warehouse.test_registry.Trap"])
    assert file.exists(), "the trap does not work"


def test_not_even_the_module_of_such_a_type_is_imported(tmp_path, monkeypatch):
    from skops import io

    (tmp_path / "planted_module.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('imported').touch()\nclass Model:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import planted_module

    content = io.dumps(planted_module.Model())
    del sys.modules["planted_module"]
    (tmp_path / "imported").unlink()
    with pytest.raises(DomainError, match=r"planted_module\.Model"):
        registry.load(domain, planted(content))
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    "call", [functools.partial(os.system, "true"), functools.partial(subprocess.run, "true"), os.system]
)
def test_a_file_that_holds_a_call_of_the_system_is_refused(call):
    from skops import io

    with pytest.raises(DomainError, match=r"holds types that toy does not trust"):
        registry.load(domain, planted(io.dumps(call)))


def test_a_domain_that_trusts_fewer_types_refuses_what_another_loads(trained):
    with pytest.raises(DomainError, match="holds types"):
        registry.load(replace(domain, trusted_types=()), version())
    assert registry.load(domain, version())


def pickled(tmp_path: Path) -> bytes:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "built",)

    return pickle.dumps(Bomb())


@pytest.mark.parametrize(
    "make",
    [
        pickled,
        lambda _: b"<!doctype html><title>Sign in</title>",
        lambda _: b"",
        lambda _: b"PK\x05\x06" + b"\0" * 18,
        lambda _: whole()[:-100],
        lambda _: whole()[: len(whole()) // 2],
        lambda _: zipped({"schema.json": b"[]"}),
        lambda _: zipped({"schema.json": b'{"__class__": 1}'}),
        lambda _: zipped({"schema.json": b"\xff\xfe"}),
        lambda path: zipped({"model.pkl": pickled(path)}),
    ],
    ids=["pickle", "page", "empty", "empty zip", "torn", "half", "list", "no type", "no text", "pickle in a zip"],
)
def test_a_file_that_is_no_model_is_refused_in_words_and_never_unpickled(make, tmp_path):
    with pytest.raises(DomainError, match=r"version 7 of toy is no model in skops format .*nothing of it was loaded"):
        registry.load(domain, planted(make(tmp_path)))
    assert not (tmp_path / "built").exists()


@functools.cache
def whole() -> bytes:
    from skops import io

    return io.dumps(fitted()[0])


def zipped(files: dict[str, bytes]) -> bytes:
    from io import BytesIO
    from zipfile import ZipFile

    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_every_calibration_that_a_candidate_may_ask_for_can_be_loaded_again(method):
    from skops import io

    model, features = fitted()
    calibrated = type(model)(model.estimator, method=method).fit(features, np.arange(40) % 3 == 0)
    loaded = registry.load(domain, planted(io.dumps(calibrated)))
    assert np.array_equal(loaded.predict_proba(features), calibrated.predict_proba(features))


# Files that are away


def drop_copy(of: registry.ModelVersion) -> None:
    (registry.model_cache() / f"{of.artifact_sha256}.skops").unlink(missing_ok=True)


def test_a_version_that_is_gone_from_mlflow_is_named_with_what_to_do(trained):
    import mlflow

    number = register("gone", new_run())
    gone = version(number)
    drop_copy(gone)
    mlflow.MlflowClient().delete_model_version("toy", str(number))
    with pytest.raises(DomainError, match=rf"version {number} of toy is gone: MLflow has no models:/toy/{number}/"):
        registry.load(domain, gone)


def test_a_file_that_is_gone_from_the_store_is_named_with_what_to_do(trained):
    import mlflow
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    number = register("file gone", new_run())
    gone = version(number)
    drop_copy(gone)
    model = mlflow.get_logged_model(mlflow.MlflowClient().get_model_version("toy", str(number)).source.split("/")[-1])
    get_artifact_repository(model.artifact_location).delete_artifacts()
    with pytest.raises(DomainError, match=rf"version {number} of toy is gone: MLflow has no models:/toy/{number}/"):
        registry.load(domain, gone)


def test_an_mlflow_that_does_not_answer_is_not_taken_for_a_loss(trained, monkeypatch):
    import mlflow

    drop_copy(version())
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    with pytest.raises(Exception, match=r"failed with exception|refused") as raised:
        registry.load(domain, version())
    assert not isinstance(raised.value, DomainError)


def test_two_processes_that_fetch_a_file_at_once_both_get_it(trained, registry_server):
    wanted = version()
    drop_copy(wanted)
    children = [begin(lambda: registry.load(domain, wanted), registry_server) for _ in range(3)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert [file.name for file in registry.model_cache().glob(f"{wanted.artifact_sha256}*")] == [
        f"{wanted.artifact_sha256}.skops"
    ]


def test_a_fetch_that_is_killed_leaves_no_half_file(trained, proxy):
    wanted = version()
    drop_copy(wanted)
    reached = 0
    for number in range(20):
        proxy.begin_anew(number)
        child = begin(lambda: registry.load(domain, wanted), proxy.address)
        if not held_or_done(proxy, child):
            break
        kill(child)
        assert not (registry.model_cache() / f"{wanted.artifact_sha256}.skops").exists()
        reached += 1
    assert reached > 0
    assert registry.load(domain, wanted)


# Registrations that are killed


@pytest.fixture
def proxy(registry_server) -> Iterator[HoldingProxy]:
    with holding_proxy(registry_server) as running:
        yield running


def begin(work: Callable[[], object], tracking_uri: str) -> int:
    """Run `work` in a process of its own, which finds MLflow under this address."""
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            import mlflow

            os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
            mlflow.set_tracking_uri(tracking_uri)
            work()
            code = 0
        os._exit(code)
    return child


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def held_or_done(proxy: HoldingProxy, child: int) -> bool:
    """Whether a request of the child is held; False once it has come to its end without."""
    while not proxy.held.wait(0.02):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            return False
    return True


def is_whole(number: int, data_hash: str) -> None:
    """The version is there once, everywhere, and can be loaded."""
    import mlflow

    client = mlflow.MlflowClient()
    assert versions_with(data_hash) == [number] == [registry.find(domain, data_hash)]
    registered = client.get_model_version("toy", str(number))
    assert "challenger" in registered.aliases
    assert registered.description.startswith("# toy: logistic_regression, trained as of 2020-03-05")
    assert {file.path for file in client.list_artifacts(registered.run_id)} >= {
        card.FACTS_FILE,
        card.FILE,
        card.PAGE_FILE,
    }
    assert value("select count(*) from ml.models where data_hash = %s", (data_hash,)) == 1
    assert value("select count(distinct feature) from ml.reference_profiles where model_version = %s", (number,)) == 4
    drop_copy(version(number))
    assert registry.load(domain, version(number))


# A registration makes some 46 requests; to try them all takes over a minute, so it is every fourth.
STRIDE = 4


def test_a_registration_that_is_killed_at_a_request_to_mlflow_is_completed_by_its_retry(trained, proxy):
    numbers = []
    for number in range(0, 400, STRIDE):
        data_hash, run = f"killed at {number}", new_run()
        proxy.begin_anew(number)
        child = begin(functools.partial(register, data_hash, run), proxy.address)
        done = not held_or_done(proxy, child)
        if not done:
            kill(child)
            is_whole(register(data_hash, run), data_hash)
        numbers.append(number)
        if done:
            break
    assert len(numbers) > 5


@pytest.mark.parametrize("table", ["models", "reference_profiles", "reference_edges"])
def test_a_registration_that_is_killed_while_it_writes_to_the_warehouse_is_completed_by_its_retry(
    trained, registry_server, table
):
    data_hash, run = f"killed in {table}", new_run()
    with warehouse.transaction() as cursor:
        cursor.execute(f"lock table ml.{table} in share mode")
        child = begin(functools.partial(register, data_hash, run), registry_server)
        end = time.monotonic() + 20
        while not value(
            "select count(*) from pg_locks join pg_stat_activity using (pid)"
            " where not granted and datname = current_database()"
        ):
            assert time.monotonic() < end, "it never came to the table"
            time.sleep(0.05)
        kill(child)
    assert registry.find(domain, data_hash) is None
    is_whole(register(data_hash, run), data_hash)


# The card


def decide(number: int, **changed) -> None:
    decision = champion.Decision(
        as_of=AS_OF,
        challenger=number,
        champion=None,
        route="promote",
        outcome="promoted",
        decided_by="gate",
        reasons=["it is cheaper"],
        metrics={},
        effective_from=date(2020, 3, 6),
        comment="",
        run_id="manual__decide",
    )
    with warehouse.transaction() as cursor:
        champion.record(cursor, replace(decision, **changed))


def registered_card(number: int) -> tuple[str, str, str]:
    """Markdown, page and description of a version."""
    import mlflow

    found = mlflow.MlflowClient().get_model_version("toy", str(number))
    text, page = (mlflow.artifacts.load_text(f"runs:/{found.run_id}/{file}") for file in (card.FILE, card.PAGE_FILE))
    return text, page, found.description


def test_the_card_tells_what_was_decided_since_and_publishing_twice_changes_nothing(trained):
    text, _, _ = registered_card(2)
    assert "Nothing is decided about this version yet." in text
    decide(2, route="ask_a_person", decided_by="Ada <ada>", comment="looks *good* | to me")
    decide(1, champion=2, route="roll_back", outcome="rolled_back", decided_by="Grace", comment="bad", run_id="r")
    card.publish(domain, 2)
    found = registered_card(2)
    card.publish(domain, 2)
    assert registered_card(2) == found
    text, page, description = found
    for told in (text, description):
        assert "**promoted**, from 2020-03-06 on, by Ada \\<ada\\> (route `ask_a_person`)" in told
        assert '"looks \\*good\\* \\| to me"' in told
        assert "**rolled back to version 1**, from 2020-03-06 on, by Grace" in told
        assert told.index("**promoted**") < told.index("**rolled back")
    assert "by Ada &lt;ada&gt;" in page
    card.publish(domain, 1)
    assert "**put back in place of version 2**" in registered_card(1)[0]


def test_what_a_person_wrote_above_the_card_stays_in_the_description(trained):
    import mlflow

    client = mlflow.MlflowClient()
    client.update_model_version("toy", "2", "Ask Ada before you touch this.")
    for _ in range(2):
        card.publish(domain, 2)
        _, _, description = registered_card(2)
        assert description.startswith("Ask Ada before you touch this.\n\n# toy: logistic_regression, trained as of")
        assert description.count("# toy: ") == 1
    decide(2)
    card.publish(domain, 2)
    assert registered_card(2)[2].startswith("Ask Ada before you touch this.\n\n# toy")
    assert "**promoted**" in registered_card(2)[2]


def test_a_version_of_a_release_that_kept_no_facts_keeps_its_card(trained):
    import mlflow

    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            fitted()[0],
            name="model",
            serialization_format="skops",
            skops_trusted_types=list(registry.trusted_types(domain)),
            pip_requirements=["scikit-learn"],
        )
    client, number = mlflow.MlflowClient(), mlflow.register_model(logged.model_uri, "toy").version
    client.update_model_version("toy", number, "As it was.")
    card.publish(domain, int(number))
    assert client.get_model_version("toy", number).description == "As it was."
