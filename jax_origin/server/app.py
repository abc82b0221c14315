"""The pages and the REST door, as an ASGI application. Needs Starlette."""

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from jax_origin.pages import render
from jax_origin.server.jobs import Busy, Job, Jobs
from jax_origin.server.openapi import description

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""The names under which a machine calls itself."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LONGEST_NAME = 200

Door = Callable[[Request], Awaitable[Response]]


class _Refused(Exception):
    """A request that is not answered: its status, and why in one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def make_app(
    jobs: Jobs, *, max_bytes: int = 20 << 20, hosts: Collection[str] | None = LOOPBACK
) -> Starlette:
    """Makes the application.

    Uploads are the bodies of requests, and stay in memory. A page of another site can send nothing
    here: requests must name one of the hosts, and come from a page of this door or from none.

    Args:
      jobs: Who answers.
      max_bytes: The largest file that is taken.
      hosts: The names under which the door is called; None for any.
    """
    doors = _Doors(jobs, max_bytes)

    def guarded(door: Door) -> Door:
        async def answer(request: Request) -> Response:
            try:
                _check_origin(request, hosts)
                response = await door(request)
            except _Refused as refused:
                response = JSONResponse({"error": refused.reason}, refused.status)
            response.headers.update(_HEADERS)
            return response

        return answer

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        jobs.close()

    return Starlette(
        routes=[
            Route("/", guarded(doors.index)),
            Route("/openapi.json", guarded(doors.openapi)),
            Route("/v1/candidates", guarded(doors.candidates)),
            Route("/v1/ask", guarded(doors.ask), methods=["POST"]),
            Route("/v1/jobs", guarded(doors.submit), methods=["POST"]),
            Route("/v1/jobs/{id}", guarded(doors.job)),
            Route("/v1/jobs/{id}/report", guarded(doors.report)),
        ],
        lifespan=lifespan,
    )


class _Doors:
    def __init__(self, jobs: Jobs, max_bytes: int) -> None:
        self._jobs, self._max_bytes = jobs, max_bytes

    async def index(self, request: Request) -> Response:
        values = {"candidates": self._listed(), "megabytes": f"{self._max_bytes / 2**20:g}"}
        allowed = ("connect-src 'self'", "frame-src 'self'")
        return HTMLResponse(render("drop.html", values, script="drop.js", allowed=allowed))

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(description(self._max_bytes))

    async def candidates(self, request: Request) -> Response:
        return JSONResponse({"candidates": self._listed()})

    async def ask(self, request: Request) -> Response:
        job = await self._taken(request)
        await asyncio.wrap_future(job.finished)
        if job.error is not None:
            raise _Refused(400, job.error)
        return JSONResponse(self._told(job))

    async def submit(self, request: Request) -> Response:
        return JSONResponse(self._told(await self._taken(request)), 202)

    async def job(self, request: Request) -> Response:
        return JSONResponse(self._told(self._found(request)))

    async def report(self, request: Request) -> Response:
        job = self._found(request)
        if job.page is None:
            raise _Refused(404, job.error or "there is no report yet")
        return HTMLResponse(job.page)

    def _listed(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "image_shape": list(each.calibration.generator["image_shape"])}
            for name, each in self._jobs.panel.candidates.items()
        ]

    def _found(self, request: Request) -> Job:
        try:
            return self._jobs[request.path_params["id"]]
        except KeyError:
            raise _Refused(404, "no such question, or its answer is no longer kept") from None

    def _told(self, job: Job) -> dict[str, Any]:
        told = {"id": job.id, "name": job.name, "state": job.state, "share": round(job.share, 3)}
        told |= {"ahead": self._jobs.ahead_of(job), "error": job.error, "result": job.result}
        return told | {"report": f"/v1/jobs/{job.id}/report" if job.page else None}

    async def _taken(self, request: Request) -> Job:
        asked = request.query_params
        name = (asked.get("name") or "image")[:_LONGEST_NAME]
        only = [part for each in asked.getlist("candidate") for part in each.split(",") if part]
        if unknown := [each for each in only if each not in self._jobs.panel.candidates]:
            known = ", ".join(self._jobs.panel.candidates)
            raise _Refused(400, f"no candidate {unknown[0]!r}; there are {known}")
        resize = asked.get("resize")
        if resize not in (None, "0", "1", "false", "true"):
            raise _Refused(400, f"resize={resize}: must be true or false")
        busy = _Refused(503, "too many images are waiting; try again later")
        if self._jobs.full:
            raise busy
        data = await self._body(request, name)
        job = Job(name, only or None, None if resize is None else resize in ("1", "true"))
        try:
            return self._jobs.submit(job, data)
        except Busy:
            raise busy from None

    async def _body(self, request: Request, name: str) -> bytes:
        large = _Refused(413, f"{name}: is larger than {self._max_bytes / 2**20:g} MiB")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise large
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > self._max_bytes:
                raise large
        if not data:
            raise _Refused(400, f"{name}: is empty; send the file as the body of the request")
        return bytes(data)


def _check_origin(request: Request, hosts: Collection[str] | None) -> None:
    host = request.headers.get("host", "")
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if hosts is not None and bare not in hosts:
        raise _Refused(403, f"this door is not called {bare}; it is called {', '.join(hosts)}")
    origin = request.headers.get("origin")
    if origin is not None and urllib.parse.urlsplit(origin).netloc != host:
        raise _Refused(403, "pages of other sites may not ask here")
