"""Whether the services answer, and on which addresses they listen."""

import time
from collections.abc import Callable, Iterable

import httpx
import psutil

from local.settings import LocalError, Settings, port_is_free

START_WITHIN_SECONDS = 300.0
AIRFLOW_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


def check_ports(settings: Settings, command: str) -> None:
    """Say who holds a port that is needed, before anything is started."""
    wanted = {
        "FLIGHTLINE_AIRFLOW_PORT": settings.airflow_port,
        "FLIGHTLINE_MLFLOW_PORT": settings.mlflow_port,
    }
    if settings.airflow_port == settings.mlflow_port:
        raise LocalError(f"{' and '.join(wanted)} are both {settings.airflow_port}. Give them different ports.")
    for name, port in wanted.items():
        if not port_is_free(port):
            raise LocalError(
                f"Port {port} of 127.0.0.1 is taken{_holder(port)}.\n"
                f"Stop what holds it, or choose another port: {name}={port + 10} make {command}"
            )


def wait_healthy(settings: Settings, raise_if_dead: Callable[[], None]) -> None:
    """Wait until MLflow and all parts of Airflow say that they are well."""
    mlflow = f"{settings.mlflow_url}/health"
    airflow = f"{settings.airflow_url}/api/v2/monitor/health"
    end = time.monotonic() + START_WITHIN_SECONDS
    with httpx.Client(trust_env=False, timeout=5) as client:
        while not (_answers(client, mlflow) and _is_well(client, airflow)):
            raise_if_dead()
            if time.monotonic() > end:
                raise LocalError(
                    f"MLflow and Airflow were not healthy within {START_WITHIN_SECONDS:.0f} seconds. "
                    f"See the logs in {settings.logs}"
                )
            time.sleep(0.3)


def open_ports(running: Iterable[psutil.Process]) -> list[str]:
    """Addresses beyond loopback on which one of these processes listens. There should be none."""
    found = []
    for process in running:
        try:
            for connection in process.net_connections(kind="inet"):
                address = connection.laddr
                if connection.status == psutil.CONN_LISTEN and not is_loopback(address.ip):
                    found.append(f"{process.name()} on {address.ip}:{address.port}")
        except psutil.Error:
            continue
    return found


def is_loopback(address: str) -> bool:
    """True for an address that only this machine can reach."""
    return address == "::1" or address.startswith(("127.", "::ffff:127."))


def _answers(client: httpx.Client, url: str) -> httpx.Response | None:
    try:
        reply = client.get(url)
    except httpx.HTTPError:
        return None
    return reply if reply.status_code == httpx.codes.OK else None


def _is_well(client: httpx.Client, url: str) -> bool:
    """Airflow's page names each component: the server can be well while there is no scheduler."""
    reply = _answers(client, url)
    if reply is None:
        return False
    parts = reply.json()
    return all((parts.get(name) or {}).get("status") == "healthy" for name in AIRFLOW_PARTS)


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        for connection in psutil.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""
