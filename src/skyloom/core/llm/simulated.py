"""A simulated teacher: a real HTTP server on this machine that speaks the chat API, answers by a function, and fails on order.

Formula  a fault of rate r strikes attempt k of a request when hash(seed, kind, request text, draw, k) < r, so which calls fail
         does not depend on timing, order or the number of connections
Source   ours; the API: OpenAI chat completions. Tokens are counted as four characters each
Flow     the pipeline starts it where no teacher is configured; core.llm.teacher talks to it as to any other server
Batches  POST /v1/files, /v1/batches (core.llm.simulated_batches); of their lines, a dropped or torn one expires
Run      with SimulatedTeacher(lambda messages, draw: "4", Faults(rate_429=0.1), seed=1) as server: server.url
Limits   The responder gets the messages and the draw number (the API's `seed`, 0 without one) and nothing else. It runs on the
         server's one thread: a slow one slows every call.
"""

import asyncio
import hashlib
import json
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Self

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from skyloom.core.config import Config
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm.simulated_batches import SimulatedBatches
from skyloom.core.records import Message
from skyloom.core.rng import derive

Responder = Callable[[Sequence[Message], int], str]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CHARACTERS = 4  # of one token
MAX_REQUEST_BYTES = 1_000_000
START_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Faults(Config):
    """What goes wrong on the way, each with its own rate from 0 to 1, and how long a reply takes."""

    latency_s: float = 0.0
    """Seconds before every reply; for a batch, until it is over."""
    rate_429: float = 0.0
    """Share of calls turned away as too many."""
    retry_after_s: float = 0.0
    """Seconds that such a call is told to wait."""
    error_500_rate: float = 0.0
    """Share of calls that end in an internal error."""
    drop_rate: float = 0.0
    """Share of connections closed without a byte."""
    torn_rate: float = 0.0
    """Share of replies cut in the middle of their JSON; half of them keep the promised length, half do not."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value: float = getattr(self, field.name)
            if value < 0 or (value > 1 and not field.name.endswith("_s")):
                raise BadInput(f"faults.{field.name}: expected a rate from 0 to 1 (or seconds from 0), got {value}")


class SimulatedTeacher:
    """The server; a context manager that runs it in a background thread on a free loopback port."""

    def __init__(self, responder: Responder, faults: Faults, seed: int, *, api_key: str = "", port: int = 0) -> None:
        """`api_key`: the only key that is let in; empty: no key is asked for. `port`: 0 takes a free one."""
        self._responder = responder
        self.faults = faults
        """May be exchanged while the server runs."""
        self._seed = seed
        self._api_key = api_key
        self._attempts: Counter[bytes] = Counter()
        self._counts: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._failed = True
        self._port = port

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="simulated-teacher", daemon=True)
        self._thread.start()
        if not started.wait(START_S) or self._failed:
            raise FailedWork(f"the simulated teacher did not start within {START_S:g} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    @property
    def url(self) -> str:
        """Base address for TeacherConfig.url."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def counts(self) -> Mapping[str, int]:
        """Calls by outcome: calls, answered, truncated, malformed, unauthorised, and one for each kind of fault."""
        return dict(self._counts)

    def _run(self, started: threading.Event) -> None:
        self._loop = asyncio.new_event_loop()
        app = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=[self._guard])
        app.router.add_post("/v1/chat/completions", self._chat)
        SimulatedBatches(self._line, lambda: self.faults.latency_s, self._counts).add_routes(app.router)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        try:
            self._loop.run_until_complete(self._listen(runner))
            started.set()
            self._loop.run_forever()
        finally:
            started.set()
            self._loop.run_until_complete(runner.cleanup())
            self._loop.close()

    async def _listen(self, runner: web.AppRunner) -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port, backlog=4096).start()
        self._port = int(runner.addresses[0][1])
        self._failed = False

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._api_key and request.headers.get("Authorization") != f"Bearer {self._api_key}":
            return self._error("unauthorised", 401, "incorrect API key")
        return await handler(request)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self._counts["calls"] += 1
        try:
            asked = _Asked.model_validate_json(await request.read())
        except ValidationError as error:
            return self._error("malformed", 400, str(error.errors()[0]["msg"]))
        await asyncio.sleep(self.faults.latency_s)
        fault = self._fault(asked)
        if fault == "rate_429":
            return self._error(fault, 429, "too many requests", {"Retry-After": f"{self.faults.retry_after_s:g}"})
        if fault == "error_500_rate":
            return self._error(fault, 500, "internal error")
        if fault == "drop_rate":
            return self._dropped(request)
        try:
            body = self._answer(asked)
        except Exception as error:  # whatever a responder raises reaches the client as any server's fault does
            logging.getLogger(__name__).exception("the responder failed")
            return self._error("responder", 500, f"{type(error).__name__}: {error}")
        return await self._torn(request, body, asked) if fault == "torn_rate" else _json(200, body)

    def _answer(self, asked: "_Asked") -> bytes:
        text = self._responder(
            [Message(role=each.role, content=each.content) for each in asked.messages], asked.seed or 0
        )
        most = asked.max_tokens * CHARACTERS if asked.max_tokens is not None else len(text)
        finish = "length" if len(text) > most else "stop"
        self._counts["answered"] += 1
        self._counts["truncated"] += finish == "length"
        prompt = sum(len(each.content) for each in asked.messages)
        usage = {"prompt_tokens": -(-prompt // CHARACTERS), "completion_tokens": -(-len(text[:most]) // CHARACTERS)}
        message = {"role": "assistant", "content": text[:most]}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        body = {
            "id": "simulated",
            "object": "chat.completion",
            "created": 0,
            "model": asked.model,
            "choices": [choice],
            "usage": usage,
        }
        return json.dumps(body).encode()

    def _line(self, body: bytes) -> tuple[int, bytes]:
        """Status and body for one request of a batch."""
        try:
            asked = _Asked.model_validate_json(body)
        except ValidationError as error:
            return 400, _problem(400, str(error.errors()[0]["msg"]))
        fault = self._fault(asked)
        if fault in ("drop_rate", "torn_rate"):
            return 0, b""
        status = {"rate_429": 429, "error_500_rate": 500}.get(fault, 200)
        try:
            return status, _problem(status, fault) if fault else self._answer(asked)
        except Exception:
            logging.getLogger(__name__).exception("the responder failed")
            return 500, _problem(500, "the responder failed")

    def _fault(self, asked: "_Asked") -> str:
        """The fault that strikes this attempt, or nothing."""
        rated = [
            field.name
            for field in fields(self.faults)
            if not field.name.endswith("_s") and getattr(self.faults, field.name)
        ]
        if not rated:
            return ""
        text = asked.digest()
        attempt = self._attempts[text]
        self._attempts[text] += 1
        for name in rated:
            if derive(self._seed, name, text.hex(), attempt) / 2**63 < getattr(self.faults, name):
                return name
        return ""

    def _error(self, kind: str, status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
        self._counts[kind] += 1
        return _json(status, _problem(status, message), headers)

    def _dropped(self, request: web.Request) -> web.Response:
        self._counts["drop_rate"] += 1
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _torn(self, request: web.Request, body: bytes, asked: "_Asked") -> web.StreamResponse:
        self._counts["torn_rate"] += 1
        half = body[: len(body) // 2]
        if asked.digest()[0] % 2:
            return _json(200, half)
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(half)
        if request.transport is not None:
            request.transport.close()
        return response


class _Turn(BaseModel):
    role: str
    content: str


class _Asked(BaseModel):
    model: str
    messages: list[_Turn] = Field(min_length=1)
    temperature: float = 1.0
    max_tokens: int | None = Field(None, ge=1)
    seed: int | None = None

    def digest(self) -> bytes:
        """Eight bytes of what is asked: the messages and the draw."""
        text = json.dumps([self.seed, [(each.role, each.content) for each in self.messages]])
        return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _problem(status: int, message: str) -> bytes:
    return json.dumps({"error": {"message": message, "code": status}}).encode()


def _json(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
