"""Paths, ports and secrets of the local runtime."""

import json
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from local import bootstrap, environment, postgres
from local.health import is_loopback
from local.settings import MARKER, REPO, LocalError, Settings, load, port_is_free


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "home", 18080, 15000, REPO / "dags")


@pytest.mark.parametrize("text", ["80", "65536", "http", "-1"])
def test_a_port_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FLIGHTLINE_AIRFLOW_PORT", text)
    with pytest.raises(LocalError, match="FLIGHTLINE_AIRFLOW_PORT"):
        load()


def test_a_home_that_holds_the_project_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLIGHTLINE_HOME", str(REPO.parent))
    with pytest.raises(LocalError, match="FLIGHTLINE_HOME"):
        load()


def test_secrets_are_made_once_and_only_their_owner_reads_them(settings: Settings) -> None:
    first = environment.load_secrets(settings)
    assert environment.load_secrets(settings) == first
    for path in (settings.home / "secrets.json", settings.password_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(settings.password_file.read_text()) == {"admin": first["admin_password"]}


def test_two_homes_share_no_secret(settings: Settings, tmp_path: Path) -> None:
    other = environment.load_secrets(replace(settings, home=tmp_path / "other"))
    assert not set(environment.load_secrets(settings).values()) & set(other.values())


def test_the_shell_of_the_user_does_not_lead_the_services_elsewhere(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("FLIGHTLINE_ANSWER_WITHIN_SECONDS", "1")
    made = environment.service_environment(settings, Path("/tmp/socket"))  # noqa: S108
    assert made["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert made[MARKER] == str(settings.home)
    assert not {"PGHOST", "FLIGHTLINE_ANSWER_WITHIN_SECONDS"} & set(made)
    assert json.loads(made["AIRFLOW_CONN_WAREHOUSE"])["host"] == "/tmp/socket"  # noqa: S108


def test_every_address_is_loopback(settings: Settings) -> None:
    made = environment.service_environment(settings, Path("/tmp/socket"))  # noqa: S108
    assert made["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert made["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"


@pytest.mark.parametrize("depth", [1, 50, 200])
def test_a_socket_fits_however_deep_the_checkout_is(settings: Settings, depth: int) -> None:
    deep = replace(settings, home=Path("/home") / ("d" * depth) / ".local")
    assert len(str(postgres.socket_folder(deep) / postgres.SOCKET_NAME)) <= postgres.LONGEST_SOCKET_PATH


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("192.168.1.4", False)],  # noqa: S104
)
def test_loopback_is_told_from_the_rest(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not port_is_free(server.getsockname()[1])


def test_an_environment_is_current_only_for_its_own_lock(tmp_path: Path) -> None:
    lock, venv = tmp_path / "requirements.lock", tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to("/bin/sh")
    lock.write_text("a==1")
    assert not bootstrap.is_current(venv, lock)
    (venv / ".flightline-stamp").write_text(bootstrap.stamp_of(lock))
    assert bootstrap.is_current(venv, lock)
    lock.write_text("a==2")
    assert not bootstrap.is_current(venv, lock)


def test_an_interpreter_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    broken = tmp_path / "python3.12"
    broken.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    broken.chmod(0o755)
    assert bootstrap.version_of(broken) is None
