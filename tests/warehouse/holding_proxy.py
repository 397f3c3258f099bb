"""A proxy that passes a number of HTTP requests on to a server and holds the next: the server hangs, as far as one can
tell.
"""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOT_PASSED_ON = {"host", "connection", "transfer-encoding", "accept-encoding", "content-length"}


class HoldingProxy:
    """`address` is what clients use; `passed` counts; `held` is set once a request is held."""

    def __init__(self, target: str) -> None:
        self.passed = 0
        self.held = threading.Event()
        self._limit: int | None = None
        self._target = target.removeprefix("http://")
        self._guard = threading.Lock()
        self._release = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def pass_on(self) -> None:
                if proxy.may_pass():
                    proxy.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = pass_on

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def begin_anew(self, limit: int | None) -> None:
        """Hold every request after the next `limit`; None holds none. Those that are held get no answer."""
        self._release.set()
        with self._guard:
            self._release, self._limit, self.passed = threading.Event(), limit, 0
            self.held.clear()

    def may_pass(self) -> bool:
        """Whether to pass a request on; waits, perhaps for long, when not."""
        with self._guard:
            release = self._release
            if self._limit is None or self.passed < self._limit:
                self.passed += 1
                return True
            self.held.set()
        release.wait()
        return False

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Ask the server and hand its answer over."""
        body = request.rfile.read(int(request.headers.get("content-length") or 0)) or None
        headers = {name: text for name, text in request.headers.items() if name.lower() not in NOT_PASSED_ON}
        with closing(HTTPConnection(self._target, timeout=60)) as server:
            server.request(request.command, request.path, body, headers)
            reply = server.getresponse()
            content = reply.read()
            request.send_response(reply.status)
            for name, text in reply.headers.items():
                if name.lower() not in NOT_PASSED_ON:
                    request.send_header(name, text)
            request.send_header("content-length", str(len(content)))
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(content)


@contextmanager
def holding_proxy(target: str) -> Iterator[HoldingProxy]:
    """A proxy in front of `target` that holds nothing yet."""
    proxy = HoldingProxy(target)
    proxy.server.daemon_threads = True
    thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.begin_anew(None)
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join(10)
