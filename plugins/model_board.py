"""The page "Model board" in Airflow's navigation: the state of the loop, read from the warehouse.

Every component of Airflow imports this file, so it only registers. The page itself (board/) is imported by the API
server, at the first request.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

from airflow.plugins_manager import AirflowPlugin

Message = MutableMapping[str, Any]
HERE = Path(__file__).parent


@cache
def _load() -> Callable[..., Awaitable[None]]:
    # Both are there already in most deployments; the API server of some has only the folder of plugins.
    for folder in (str(HERE), str(HERE.parent)):
        if folder not in sys.path:
            sys.path.append(folder)
    from board.app import app

    return app


async def model_board(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The ASGI application: that of `board.app`, which is imported beside the event loop."""
    app = await asyncio.to_thread(_load)
    await app(scope, receive, send)


class ModelBoard(AirflowPlugin):
    """Mounts the page and names it in the navigation."""

    name = "model_board"
    fastapi_apps = [{"app": model_board, "url_prefix": "/model-board", "name": "Model board"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Model board",
            "href": "model-board/",
            "url_route": "model-board",
            "destination": "nav",
            "category": "browse",
        }
    ]
