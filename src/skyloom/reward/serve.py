"""The reward server: conversations in over HTTP, the scorer's raw scores out, whoever else is asking.

Source   POST /v1/score is ours; POST /classify, GET /v1/models and GET /health speak vLLM's form; GET /metrics is for Prometheus
Flow     body (bounded) -> worker thread: JSON, checks, tokens -> bounded queue -> the one scoring thread -> answer. The event loop
         only moves bytes, so a slow client holds up nobody, and one that leaves is taken out of the queue.
Faults   400 not JSON, 404 another model, 408 a body that trickles in, 413 too large, 422 wrong or too long, 500 the model failed on
         this request, 503 queue full (Retry-After says when to come back) or stopping; always {"error": {"message": one line, ...}}
Run      skyloom reward serve runs/x/train/model --port 8000
"""

import asyncio
import json
import logging
import signal
import socket
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skyloom.core.config import JSON, Config
from skyloom.core.errors import BadInput
from skyloom.reward.serving import wire
from skyloom.reward.serving.batcher import Batcher
from skyloom.reward.serving.counts import CONTENT_TYPE, Counts
from skyloom.reward.serving.wire import Prepared, Refused

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from skyloom.reward.score import Scorer

GONE: int = 499
"""Status, in the counts alone, of a request whose client went away; nginx's number."""
BODIES: int = 16
"""Bodies of the largest size that may stand in memory at once (ours)."""
LINGER_S: float = 5.0
"""Longest time that the rest of a refused body is read and thrown away, seconds; nginx's lingering_timeout."""
LINGER_BYTES: int = 16_000_000
"""Most bytes that are so thrown away (ours)."""
PATHS: tuple[str, ...] = ("/v1/score", "/classify", "/v1/models", "/health", "/metrics")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeConfig(Config):
    """Where the server listens and how much it takes on."""

    host: str = "127.0.0.1"
    """Address to listen on. There is no password: anything but loopback lets others in."""
    port: int = 8000
    """Port; 0 takes a free one."""
    queue: int = 262_144
    """Most tokens that wait or are being scored; beyond it requests get 503 with Retry-After."""
    max_body: int = 4_000_000
    """Largest request body, bytes."""
    workers: int = 2
    """Threads that parse and tokenise."""
    wait_ms: float = 4.0
    """Longest time that the oldest conversation waits for others to share its batch, milliseconds."""
    body_s: float = 30.0
    """Longest time a body may take to arrive, seconds."""
    grace_s: int = 600
    """After SIGTERM or Ctrl-C: longest time to answer what was accepted, seconds."""

    def __post_init__(self) -> None:
        """Raise BadInput naming the setting that cannot be."""
        if not 0 <= self.port <= 65535:
            raise BadInput(f"serve.port: must lie in 0 to 65535, got {self.port}")
        for name in ("queue", "max_body", "workers", "body_s", "grace_s"):
            if getattr(self, name) <= 0:
                raise BadInput(f"serve.{name}: must be above 0, got {getattr(self, name)}")
        if self.wait_ms < 0:
            raise BadInput(f"serve.wait_ms: must not be negative, got {self.wait_ms}")


class Service:
    """One scorer behind HTTP: the state that the routes share."""

    def __init__(self, scorer: "Scorer", config: ServeConfig) -> None:
        """The queue runs from `start` to `stop`."""
        self.scorer = scorer
        self.config = config
        self.counts = Counts()
        self.created = int(time.time())
        self._bytes = 0  # of bodies that are held
        self._batcher: Batcher | None = None
        self._pool = ThreadPoolExecutor(config.workers, thread_name_prefix="skyloom-encode")

    def start(self) -> None:
        """Start the scoring thread."""
        limits = (self.scorer.config.budget, self.config.queue, self.config.wait_ms / 1000)
        self._batcher = Batcher(self.scorer.score, *limits, self.counts)

    def stop(self) -> None:
        """Score what is queued, then end the threads."""
        if self._batcher is not None:
            self._batcher.close()
        self._pool.shutdown()

    @property
    def alive(self) -> bool:
        """Whether the scoring thread takes work."""
        return self._batcher is not None and self._batcher.alive

    def waiting(self) -> tuple[int, int]:
        """(conversations that wait, tokens that wait or are being scored)."""
        return self._batcher.waiting() if self._batcher is not None else (0, 0)

    async def scores(
        self, request: Request, prepare: "Callable[[Scorer, bytes, int], Prepared]"
    ) -> "tuple[Prepared, list[Float[np.ndarray, ' R']]] | None":
        """A request's conversations and their scores; None where its client went away. Raises Refused."""
        try:
            asked = await self._read(request, prepare)
        except ClientDisconnect:
            return None
        if self._batcher is None:
            raise Refused(503, "the server is not started", retry_s=1)
        ticket = self._batcher.submit(asked.encoded)
        done = asyncio.wrap_future(ticket.future)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not done.done():
                self._batcher.drop(ticket)
                done.cancel()
        if done.cancelled():
            return None
        if (error := done.exception()) is not None:
            raise Refused(500, f"the model failed on this request: {error}") from error
        return asked, done.result()

    async def _read(self, request: Request, prepare: "Callable[[Scorer, bytes, int], Prepared]") -> Prepared:
        """The body as tokens; its bytes are counted as long as they are held."""
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self.config.body_s):
                    await self._fill(body, request)
            except TimeoutError:
                raise Refused(
                    408, f"the body did not arrive within {self.config.body_s:g} seconds", unread=True
                ) from None
            work = (prepare, self.scorer, bytes(body), self.config.max_body)
            return await asyncio.get_running_loop().run_in_executor(self._pool, *work)
        finally:
            self._bytes -= len(body)

    async def _fill(self, body: bytearray, request: Request) -> None:
        """Read a body up to the limits; raises Refused 413 before more than that is read, whether or not a length was announced."""
        limit = self.config.max_body
        too_large = Refused(413, f"the body is larger than {limit} bytes", unread=True)
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > limit:
            raise too_large
        async for chunk in request.stream():
            if len(body) + len(chunk) > limit:
                raise too_large
            if self._bytes + len(chunk) > BODIES * limit:
                raise Refused(503, "too many requests are being read; try again later", retry_s=1, unread=True)
            body += chunk
            self._bytes += len(chunk)


def make_app(scorer: "Scorer", config: ServeConfig) -> ASGIApp:
    """The server as an ASGI application; its lifespan starts the scoring thread and, at the end, lets it finish its queue."""
    service = Service(scorer, config)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        service.start()
        yield
        await asyncio.to_thread(service.stop)

    # Without the pages of interactive documentation: they load scripts from elsewhere.
    app = FastAPI(title="Skyloom reward server", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(Refused, _refusal)
    app.add_exception_handler(HTTPException, _refusal)
    _add_scoring(app, service)
    _add_looks(app, service)
    return Counted(app, service.counts)


def _add_scoring(app: FastAPI, service: Service) -> None:
    """The two routes that score."""

    @app.post("/v1/score", openapi_extra=_body("/v1/score", wire.ScoreRequest))
    async def score(request: Request) -> Response:
        """Raw scores of conversations; normalised ones and chances to win where the model is calibrated."""
        found = await service.scores(request, wire.prepare_score)
        return _gone() if found is None else _json(wire.score_answer(service.scorer, *found, uuid.uuid4().hex))

    @app.post("/classify", openapi_extra=_body("/classify", wire.ClassifyRequest))
    async def classify(request: Request) -> Response:
        """The same in vLLM's form: the raw logit of each input."""
        found = await service.scores(request, wire.prepare_classify)
        if found is None:
            return _gone()
        return _json(wire.classify_answer(service.scorer, *found, uuid.uuid4().hex, int(time.time())))

    del score, classify  # the decorator has taken them


def _add_looks(app: FastAPI, service: Service) -> None:
    """The routes that only look."""

    @app.get("/health")
    async def health() -> Response:
        """200 while the scoring thread takes work, else 503."""
        return _json({"status": "ok"}) if service.alive else _json({"status": "stopped"}, 503)

    @app.get("/v1/models")
    async def models() -> Response:
        """The one model and what its scores depend on."""
        about: dict[str, JSON] = {"id": service.scorer.name, "object": "model", "created": service.created}
        about |= {"owned_by": "skyloom", "max_model_len": service.scorer.max_length}
        about |= {"protocol": service.scorer.protocol, "calibrated": service.scorer.calibration is not None}
        return _json({"object": "list", "data": [about]})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters and histograms in Prometheus' text form."""
        waiting, held = service.waiting()
        gauges = {
            "queue_conversations": ("Conversations that wait.", waiting),
            "queue_tokens": ("Tokens that wait or are being scored.", held),
            "queue_limit_tokens": ("Tokens that the queue takes.", service.config.queue),
        }
        return Response(service.counts.text(gauges), headers={"content-type": CONTENT_TYPE})

    del health, models, metrics  # the decorator has taken them


class Counted:
    """Counts every request by path and status, with its seconds; turns what nobody foresaw into a 500 of one line."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app, self._counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0
        self._counts.begin()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            logging.getLogger(__name__).exception("%s", scope["path"])
            if not status:
                await _error(500, "internal error; the server's log says more")(scope, receive, noted)
        finally:
            path = scope["path"] if scope["path"] in PATHS else "other"
            self._counts.request(path, status or GONE, time.monotonic() - started)


class Lingering(Response):
    """An answer to a request whose body has not all been read: it goes out, and only then the connection closes.

    Closing with bytes unread makes the kernel reset the connection, and a reset takes from the client the answer that it has not
    read yet. So the rest of the body is read and thrown away until it ends, the client leaves, or one of the two limits is reached.
    """

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.body, answer.status_code, {**answer.headers, "connection": "close"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        left = LINGER_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while left > 0 and (message := await receive()).get("more_body", False):
                    left -= len(message["body"])
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises BadInput where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise BadInput(f"--host {host} --port {port}: cannot listen there ({error}); choose another port") from error


def server_of(scorer: "Scorer", config: ServeConfig) -> uvicorn.Server:
    """The server, not yet running: `run(sockets=[listen(...)])` serves until it is told to stop."""
    settings = uvicorn.Config(
        make_app(scorer, config),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=config.grace_s,
    )
    return uvicorn.Server(settings)


def serve(scorer: "Scorer", config: ServeConfig, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer what was accepted; `ready` is told the address. Raises BadInput for a taken port."""
    with listen(config.host, config.port) as listener:
        host = f"[{config.host}]" if ":" in config.host else config.host
        server = server_of(scorer, config)

        def stop(number: int, frame: FrameType | None) -> None:
            """Before uvicorn listens to signals; and after, when it raises again the one that it has obeyed."""
            del number, frame
            server.should_exit = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        ready(f"http://{host}:{listener.getsockname()[1]}")
        try:
            server.run(sockets=[listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def _disconnected(request: Request) -> None:
    """Return when the client has gone; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refusal(_: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        return _error(error.status, str(error), error.retry_s, unread=error.unread)
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error(status, {404: "no such path", 405: "no such method here"}.get(status, "refused"))


def _error(status: int, message: str, retry_s: int = 0, *, unread: bool = False) -> Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    headers = {"retry-after": str(retry_s)} if retry_s else {}
    line = " ".join(message.split())
    answer = _json({"error": {"message": line, "type": kind, "code": status}}, status, headers)
    return Lingering(answer) if unread else answer


def _gone() -> Response:
    return Response(status_code=GONE)


def _json(value: JSON, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A name or an id that came in as half a surrogate pair cannot go out as UTF-8.
    return Response(text.encode("utf-8", "backslashreplace"), status, headers, media_type="application/json")


def _body(path: str, form: type[wire.BaseModel]) -> dict[str, object]:
    """The body's schema for /openapi.json: FastAPI does not read the body itself, because it would read it whole."""
    place = f"#/paths/{path.replace('/', '~1')}/post/requestBody/content/application~1json/schema/$defs"
    schema = form.model_json_schema(ref_template=f"{place}/{{model}}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
