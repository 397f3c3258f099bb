"""The page as an application of its own: behind Airflow's login, read-only, and with no host but its own.

Handlers are plain functions, which run in a pool of threads: a slow warehouse never holds up Airflow's API server.
"""

import time
from typing import Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.middleware.gzip import GZipMiddleware

from . import files, reading, troubles

LONGEST_DAYS = 3660
# plotly writes styles into the page, and draws its pictures to save as data.
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

# Without the pages of documentation, which would be open to everybody.
app = FastAPI(title="Model board", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)


@app.get("/")
def page() -> Response:
    """The page, with the addresses of its files."""
    return Response(files.page(), media_type="text/html", headers={**HEADERS, "Cache-Control": "no-store"})


@app.get("/data")
def data(days: int = Query(366, ge=1, le=LONGEST_DAYS)) -> JSONResponse:
    """Everything the page shows of the last `days` as-of days. 503 says in words why there is nothing."""
    began = time.perf_counter()
    headers = {**HEADERS, "Cache-Control": "no-store"}
    try:
        content: dict[str, Any] = reading.read(days)
    except troubles.UnavailableError as error:
        told = {"state": error.state, "what": error.what, "next": error.next_step}
        return JSONResponse(told, status_code=503, headers=headers)
    headers["Server-Timing"] = f"read;dur={(time.perf_counter() - began) * 1000:.0f}"
    return JSONResponse(content, headers=headers)


@app.get("/static/{version}/{name}")
def static(version: str, name: str, request: Request) -> Response:
    """A file of the page, compressed. Its address changes with its content, so a browser may keep it for good."""
    found = files.find(name)
    if found is None:
        raise HTTPException(404, "The page has no such file.")
    tag = f'"{found.version}"'
    current = version == found.version
    headers = {
        **HEADERS,
        "ETag": tag,
        "Vary": "Accept-Encoding, Cookie",
        "Cache-Control": "private, max-age=31536000, immutable" if current else "no-store",
    }
    if tag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return Response(found.packed, media_type=found.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(found.content, media_type=found.media_type, headers=headers)
