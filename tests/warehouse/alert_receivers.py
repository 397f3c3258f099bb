"""Where alerts arrive in tests: a real SMTP server, a real webhook, and servers that are dead or never answer."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller

from tests.ports import free_port


class Mailbox:
    """The mails that a server took, oldest first, and the URL for Apprise that leads there."""

    def __init__(self, port: int) -> None:
        self.mails: list[EmailMessage] = []
        self.url = f"mailto://127.0.0.1:{port}?from=chain@example.org&to=team@example.org&mode=insecure"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """What aiosmtpd calls with a mail."""
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return "250 OK"


class Webhook:
    """The messages that were posted, oldest first. `status` is what it answers."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                posted = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(hook.status)
                self.end_headers()
                if hook.status == 200:
                    hook.posted.append(posted)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/alerts"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server for this block."""
    box = Mailbox(port := free_port())
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield box
    finally:
        server.stop()


@contextmanager
def webhook() -> Iterator[Webhook]:
    """An HTTP server for this block."""
    hook = Webhook()
    thread = Thread(target=hook.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.server.shutdown()
        hook.server.server_close()
        thread.join(10)


@contextmanager
def silence() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]
