"""The teacher: asks any OpenAI-compatible server, many questions at a time, and survives what servers do; or an offline model.

Tasks    a task is a generator that yields requests, is sent their replies one by one, and returns what it made of them; `work` runs
         many at a time, so that one task's next question never waits for another's
Flow     collect -> [synthesize: augmenters build requests, the teacher answers, replies are parsed] -> curate -> train
Run      replies = list(ask(TeacherConfig(url="http://127.0.0.1:8000/v1", model="m"), requests, RequestLog(path)))
Faults   torn replies and internal errors are asked again after a jittered, growing wait, `retries` times in a row at most; a server that
         is gone or too busy (lost connections, time-outs, 429, 502, 503, 504) is waited for, `patience_s` at most without any success;
         a wrong key, address or model stops at once (BadInput); another 4xx is that request's own: its reply has finish "refused".
         Whatever was answered is in the log.
Other    backend "local" (core.llm.offline: transformers, GGUF), "vllm" (offline) and "batch" (core.llm.batch_api) answer in waves
Order    results come in the order of the tasks; at most 4 * in_flight tasks stand in memory, so a stream may be endless.
         With equal replies a resumed run yields the same as one that was never interrupted.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import aiohttp
from yarl import URL

from skyloom.core.config import NOT_KEYED, Config
from skyloom.core.errors import BadInput, FailedWork, SkyloomError
from skyloom.core.llm.account import Account
from skyloom.core.llm.chat import MAX_REPLY_BYTES, Reply, Request, Sampling, TornReply, parse, payload, refusal
from skyloom.core.llm.desk import Desk, Progress
from skyloom.core.llm.pace import Outage, Pace, backoff, retry_after
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.waves import Answer, in_waves

Backend = Literal["http", "vllm", "local", "batch"]
WAVES: dict[Backend, int] = {"local": 64, "vllm": 2048, "batch": 50_000}
"""Requests asked together where `wave` is 0: little is lost with a killed run, and every place of the batch is filled."""
BUSY = frozenset({429, 502, 503, 504})
AHEAD = 4  # tasks in memory for each place in flight: one slow head of the queue does not idle the rest
T = TypeVar("T")
Task = Generator[Request, Reply, T]


class _Done(NamedTuple, Generic[T]):
    """A task that is over."""

    value: T


_Place = _Done[T] | asyncio.Task[_Done[T]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherConfig(Config):
    """Which model is asked, how it draws, and how hard the server may be pressed."""

    backend: Backend = "http"
    """http: a server that speaks the chat API; batch: a vendor's batch API at the same address; vllm, local: a model on this machine."""
    url: str = field(default="", metadata=NOT_KEYED)
    """Base address, such as http://127.0.0.1:8000/v1; the pipeline fills in its own simulated teacher where it is empty."""
    model: str = "simulated"
    """As the server calls it; for vllm and local a Hugging Face name, a directory, or (local) a .gguf file."""
    temperature: float = 0.7
    """Skywork-Math's (arXiv 2407.08348)."""
    max_tokens: int = 2048
    """Longest reply; a longer one is cut, with finish "length"."""
    api_key_env: str = field(default="", metadata=NOT_KEYED)
    """Environment variable that holds the key; empty: the server wants none."""
    in_flight: int = field(default=512, metadata=NOT_KEYED)
    """Most calls at one time; halved by each burst of 429s and won back one success at a time."""
    retries: int = field(default=8, metadata=NOT_KEYED)
    """Faults of its own in a row after which a request, and with it the run (see `give_up`), is given up."""
    give_up: Literal["run", "request"] = field(default="run", metadata=NOT_KEYED)
    """What `retries` faults in a row end: the run; or that request alone, whose reply then has finish "refused" and is in no log."""
    patience_s: float = field(default=1800.0, metadata=NOT_KEYED)
    """Longest wait for a server that is gone or turns every call away, seconds without any success."""
    timeout_s: float = field(default=600.0, metadata=NOT_KEYED)
    """Longest call, seconds."""
    wave: int = field(default=0, metadata=NOT_KEYED)
    """vllm, local, batch: most requests asked together; 0: 2,048, 64, 50,000."""
    poll_s: float = field(default=30.0, metadata=NOT_KEYED)
    """batch: seconds between two looks at a batch."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """local: type of the weights in memory."""
    price_in: float = 0.0
    """Money per million prompt tokens. Rows carry their cost: other prices make them anew, from the log."""
    price_out: float = 0.0
    """Money per million completion tokens."""
    budget: float | None = field(default=None, metadata=NOT_KEYED)
    """Money that the replies may cost, in the currency of the prices; None: no limit."""
    send_seed: bool = True
    """Send the sample number as `seed`, so that draws of one question differ and repeat; off for servers that refuse it."""
    seed: int = field(default=0, metadata=NOT_KEYED)
    """Of the jitter of waits; changes no reply."""

    def __post_init__(self) -> None:
        positive = ("max_tokens", "in_flight", "retries", "patience_s", "timeout_s", "poll_s")
        bad = next((name for name in positive if getattr(self, name) <= 0), None)
        if bad is not None:
            raise BadInput(f"teacher.{bad}: must be above 0, got {getattr(self, bad)}")
        if min(self.temperature, self.price_in, self.price_out, self.wave) < 0:
            raise BadInput("teacher: temperature, prices and wave must not be negative")

    @property
    def remote(self) -> bool:
        """Whether it is asked at an address."""
        return self.backend in ("http", "batch")


def sampling_of(config: TeacherConfig) -> Sampling:
    """How the model draws: part of every request's key."""
    return Sampling(model=config.model, temperature=config.temperature, max_tokens=config.max_tokens)


def ask(
    config: TeacherConfig,
    requests: Iterable[Request],
    log: RequestLog | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Reply]:
    """Replies in request order; raises as `work` does."""
    return work(config, map(_question, requests), log, on_progress)


def work(
    config: TeacherConfig,
    tasks: Iterable[Task[T]],
    log: RequestLog | None = None,
    on_progress: Progress | None = None,
) -> Iterator[T]:
    """What the tasks return, in their order, for code that is not async. Over http, calls fly while the caller waits for the next result.

    Raises:
        BadInput: no or an unusable address, an unset key variable, a key, address or model that the server turns away, a model that
            cannot be loaded, a package that is missing.
        FailedWork: the budget is spent, one request met `retries` faults in a row, or the server was gone for `patience_s`.
    """
    account = Account(price_in=config.price_in, price_out=config.price_out, budget=config.budget)
    desk = Desk(sampling_of(config), account, log, on_progress)
    if config.backend == "http":
        return _over_http(config, tasks, desk)
    return _in_waves(config, tasks, desk)


def _question(request: Request) -> Task[Reply]:
    """The task of one request."""
    return (yield request)


def _in_waves(config: TeacherConfig, tasks: Iterable[Task[T]], desk: Desk) -> Iterator[T]:
    def worst(request: Request) -> float:
        return desk.account.price(len(_payload(config, request)), config.max_tokens)

    yield from in_waves(tasks, _offline(config, desk.log), desk, config.wave or WAVES[config.backend], worst)


def _offline(config: TeacherConfig, log: RequestLog | None) -> Answer:
    """What answers waves; loaded here, because models need torch and the rest does not."""
    if config.backend == "batch":
        from skyloom.core.llm.batch_api import BatchApi

        api = BatchApi(config, endpoint(config.url), headers(config), log)
        api.recover()
        return api
    from skyloom.core.llm import offline

    return offline.Local(config) if config.backend == "local" else offline.Vllm(config)


def _over_http(config: TeacherConfig, tasks: Iterable[Task[T]], desk: Desk) -> Iterator[T]:
    loop = asyncio.new_event_loop()  # asyncio.Runner sets signal handlers at every step, which costs as much as a call
    batches = _batches(config, tasks, desk)
    try:
        while batch := loop.run_until_complete(_next(batches)):
            for done in batch:
                yield done.value
    finally:
        loop.run_until_complete(batches.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _batches(config: TeacherConfig, tasks: Iterable[Task[T]], desk: Desk) -> AsyncGenerator[list[_Done[T]], None]:
    """The results, in runs of those that are ready together."""
    waiting: deque[_Place[T]] = deque()
    async with _session(config) as session:
        client = _Client(config, session, desk)
        try:
            for task in tasks:
                waiting.append(client.start(task))
                if len(waiting) >= AHEAD * config.in_flight or _ready(waiting[0]):
                    yield await client.take(waiting)
            while waiting:
                yield await client.take(waiting)
        finally:
            await client.close()


class _Fault(NamedTuple):
    """A call without a reply, to be made again."""

    kind: str
    detail: str
    wait_s: float = 0.0
    away: bool = False
    """The server is gone or too busy: no fault of the request."""


class _Client:
    """One run of asking."""

    def __init__(self, config: TeacherConfig, session: aiohttp.ClientSession, desk: Desk) -> None:
        self._config = config
        self._session = session
        self._desk = desk
        self._url = endpoint(config.url)
        self._pace = Pace(config.in_flight)
        self._outage = Outage(self._url, config.patience_s)
        self._flying: set[asyncio.Task[_Done[Any]]] = set()
        self._flushing = False
        self._asked: dict[bytes, asyncio.Future[Reply]] = {}
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, task: Task[T]) -> _Place[T]:
        """Its result where the log has every reply; else it runs on by itself from the first request that must be asked."""
        try:
            request = next(task)
            while (logged := self._desk.find(key := self._desk.key(request))) is not None:
                request = task.send(logged)
        except StopIteration as end:
            return _Done(end.value)
        running = asyncio.create_task(self._drive(task, request, key))
        self._flying.add(running)
        running.add_done_callback(self._landed)
        return running

    async def _drive(self, task: Task[T], request: Request, key: bytes) -> _Done[T]:
        while True:
            reply = self._desk.find(key) or await self._shared(request, key)
            try:
                request = task.send(reply)
            except StopIteration as end:
                return _Done(end.value)
            key = self._desk.key(request)

    async def _shared(self, request: Request, key: bytes) -> Reply:
        """The reply to a request; where an equal one is in flight, its reply."""
        if self._desk.log is None:  # nothing says that both must be the same
            return await self._answer(request, key)
        if (flying := self._asked.get(key)) is not None:
            return await asyncio.shield(flying)
        mine = self._asked[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._answer(request, key)
        except BaseException as error:
            mine.set_exception(error if isinstance(error, SkyloomError) else FailedWork("the call was ended"))
            mine.exception()  # seen, though nobody may wait for it
            raise
        finally:
            del self._asked[key]
        mine.set_result(reply)
        return reply

    def _landed(self, running: asyncio.Task[_Done[Any]]) -> None:
        self._flying.discard(running)
        if not running.cancelled():
            running.exception()  # seen: those behind the one that ends the run are never awaited

    async def take(self, waiting: deque[_Place[T]]) -> list[_Done[T]]:
        """The results ready at the head of the queue, at least one, with their replies committed to the log; raises at once where
        any call met what ends the run."""
        head = waiting[0]
        if not isinstance(head, _Done) and not head.done():
            await asyncio.wait((head, self._stopped), return_when=asyncio.FIRST_COMPLETED)
        self._flush()
        if self._stopped.done():
            self._stopped.result()
        results = [_result(waiting.popleft())]
        while waiting and _ready(waiting[0], whole=True):
            results.append(_result(waiting.popleft()))
        return results

    async def close(self) -> None:
        """End every call in flight and commit what they brought."""
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        self._flush()
        self._stopped.cancel()
        if self._stopped.done() and not self._stopped.cancelled():
            self._stopped.exception()  # seen, though nobody waited for it

    async def _answer(self, request: Request, key: bytes) -> Reply:
        body = _payload(self._config, request)
        worst = self._desk.account.price(len(body), self._config.max_tokens)
        calls = own = 0
        while True:
            async with self._pace.slot(lambda flying: self._admit(worst, flying)):
                outcome = await self._call(body, worst)
            if isinstance(outcome, Reply):
                return self._kept(key, outcome)
            self._desk.account.failed(outcome.kind)
            own += not outcome.away
            if own >= self._config.retries and self._config.give_up == "request" and not outcome.away:
                told = (self._url, own, outcome.kind, outcome.detail)
                logging.getLogger(__name__).warning(
                    "%s: a request was given up after %d faults, the last: %s %s", *told
                )
                return self._kept(key, refusal())
            self._endure(outcome, own)
            await asyncio.sleep(max(backoff(self._config.seed, key, calls), outcome.wait_s))
            calls += 1

    def _endure(self, fault: _Fault, own: int) -> None:
        """Slow down for a server that is too busy; raise where a fault, or the request's `own` faults in a row, are one too many."""
        if fault.kind == "429":
            self._pace.pushed_back(fault.wait_s)
        if fault.away:
            try:
                self._outage.fault(f"{fault.kind} {fault.detail}")
            except FailedWork as error:
                self._stop(error)
                raise
        elif own >= self._config.retries:
            raise FailedWork(
                f"{self._url}: gave up after {own} faults in a row, the last: {fault.kind} {fault.detail}; "
                "run the same command again to go on from the logged replies"
            )

    def _admit(self, worst: float, flying: int) -> bool:
        if self._stopped.done():
            self._stopped.result()
        return self._desk.account.admit(worst, flying)

    async def _call(self, body: bytes, worst: float) -> "Reply | _Fault":
        if self._desk.log is not None:
            self._desk.log.attempt()
            self._flush_soon()
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                return _judge(response, await _read(response))
        except TornReply as error:
            return _Fault("torn", str(error))
        except aiohttp.ClientPayloadError as error:
            return _Fault("torn", str(error))
        except TimeoutError:
            return _Fault("timeout", f"{self._config.timeout_s:g} s", away=True)
        except (aiohttp.ClientError, OSError) as error:
            return _Fault("connection", str(error) or type(error).__name__, away=True)
        except BadInput as error:
            self._stop(error)
            raise
        finally:
            self._desk.account.landed(worst)

    def _kept(self, key: bytes, reply: Reply) -> Reply:
        self._pace.succeeded()
        self._outage.success()
        try:
            return self._desk.keep(key, reply)
        except SkyloomError as error:  # a full disk: what else is in flight would be paid for and lost
            self._stop(error)
            raise
        finally:
            self._flush_soon()

    def _flush_soon(self) -> None:
        """Commit once for all that this turn of the event loop brings."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        try:
            if self._desk.log is not None:
                self._desk.log.flush()
        except SkyloomError as error:  # a full disk: a callback has nobody to raise to
            self._stop(error)

    def _stop(self, error: SkyloomError) -> None:
        if not self._stopped.done():
            self._stopped.set_exception(error)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > MAX_REPLY_BYTES:
            raise TornReply(f"longer than {MAX_REPLY_BYTES:,} bytes")
    return bytes(data)


def _judge(response: aiohttp.ClientResponse, data: bytes) -> "Reply | _Fault":
    """What a status and a body mean: a reply, a fault to try again, or BadInput that ends the run."""
    status, said = response.status, " ".join(data[:200].decode("utf-8", "replace").split())
    if status == 200:
        return parse(data)
    if passes(status):
        kind = "5xx" if status >= 500 else str(status)
        return _Fault(kind, f"{status} {said}", retry_after(response.headers.get("Retry-After", "")), status in BUSY)
    turned_away(response, said, "no chat completions here", "check teacher.url and teacher.model")
    logging.getLogger(__name__).warning("%s: a request was refused (%d): %s", response.url, status, said)
    return refusal()


def passes(status: int) -> bool:
    """Whether a status speaks of the server's moment, not of the request: the same request may be answered later."""
    return status >= 500 or status in (408, 409, 425, 429)


def turned_away(response: aiohttp.ClientResponse, said: str, missing: str, remedy: str) -> None:
    """Raise BadInput, with a remedy, for a status that every other request would get as well; return for any other."""
    if response.status in (401, 403):
        raise BadInput(
            f"{response.url}: the key was turned away ({response.status}): {said}; check teacher.api_key_env"
        )
    if response.status < 400 or response.status in (404, 405):
        raise BadInput(f"{response.url}: {missing} ({response.status}): {said}; {remedy}")


def _payload(config: TeacherConfig, request: Request) -> bytes:
    return payload(request, sampling_of(config), seeded=config.send_seed)


def endpoint(url: str) -> str:
    """Address of the chat completions under a base address; BadInput where it is none."""
    if URL(url).scheme not in ("http", "https") or not URL(url).host:
        raise BadInput(f"teacher.url: expected an address such as http://127.0.0.1:8000/v1, got {url!r}")
    return url if url.endswith("/chat/completions") else url.rstrip("/") + "/chat/completions"


def headers(config: TeacherConfig) -> dict[str, str]:
    """The key, where one is wanted; BadInput where its variable is not set."""
    if not config.api_key_env:
        return {}
    key = os.environ.get(config.api_key_env, "")
    if not key:
        raise BadInput(f"teacher.api_key_env: the environment variable {config.api_key_env} is not set")
    return {"Authorization": f"Bearer {key}"}


def _session(config: TeacherConfig) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # Pace limits; aiohttp's own 100 would idle the rest
        headers={"Content-Type": "application/json", **headers(config)},
        timeout=aiohttp.ClientTimeout(total=config.timeout_s),
    )


def _ready(place: _Place[Any], *, whole: bool = False) -> bool:
    """Nothing to wait for; `whole`: and no error there."""
    return isinstance(place, _Done) or (place.done() and not (whole and (place.cancelled() or place.exception())))


def _result(place: _Place[T]) -> _Done[T]:
    return place if isinstance(place, _Done) else place.result()


async def _next(batches: AsyncGenerator[list[_Done[T]], None]) -> list[_Done[T]]:
    return await anext(batches, [])
