"""The teacher: asks any OpenAI-compatible server, many questions at a time, and survives what servers do.

Flow     collect -> [synthesize: augmenters build requests, the teacher answers, replies are parsed] -> curate -> train
Run      replies = list(ask(TeacherConfig(url="http://127.0.0.1:8000/v1", model="m"), requests, RequestLog(path)))
Faults   429, 5xx, lost connections, time-outs and torn replies are asked again after a jittered, growing wait; a wrong key, address
         or model stops at once (BadInput); another 4xx is that request's own: its reply has finish "refused"; a request that
         met `retries` faults in a row stops the run (FailedWork). Whatever was answered is in the log.
Order    replies come in the order of the requests; at most 4 * in_flight requests stand in memory, so a stream may be endless.
         With equal replies a resumed run yields the same as one that was never interrupted.
"""

import asyncio
import logging
import math
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import aiohttp
from yarl import URL

from skyloom.core.config import NOT_KEYED, Config
from skyloom.core.errors import BadInput, FailedWork, SkyloomError
from skyloom.core.llm.account import Account
from skyloom.core.llm.chat import MAX_REPLY_BYTES, Reply, Request, Sampling, TornReply, parse, payload, request_key
from skyloom.core.llm.pace import LONGEST_WAIT_S, Pace, backoff
from skyloom.core.llm.request_log import RequestLog

REFUSED = "refused"
AHEAD = 4  # requests in memory for each place in flight: one slow head of the queue does not idle the rest
Progress = Callable[[Account], None]
_Queue = deque[Reply | asyncio.Task[Reply]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherConfig(Config):
    """Which model is asked, how it draws, and how hard the server may be pressed."""

    url: str = field(default="", metadata=NOT_KEYED)
    """Base address, such as http://127.0.0.1:8000/v1; the pipeline fills in its own simulated teacher where it is empty."""
    model: str = "simulated"
    temperature: float = 0.7
    """Skywork-Math's (arXiv 2407.08348)."""
    max_tokens: int = 2048
    """Longest reply; a longer one is cut, with finish "length"."""
    api_key_env: str = field(default="", metadata=NOT_KEYED)
    """Environment variable that holds the key; empty: the server wants none."""
    in_flight: int = field(default=512, metadata=NOT_KEYED)
    """Most calls at one time; halved by each burst of 429s and won back one success at a time."""
    retries: int = field(default=8, metadata=NOT_KEYED)
    """Faults in a row after which a request, and with it the run, is given up."""
    timeout_s: float = field(default=600.0, metadata=NOT_KEYED)
    """Longest call, seconds."""
    price_in: float = field(default=0.0, metadata=NOT_KEYED)
    """Money per million prompt tokens."""
    price_out: float = field(default=0.0, metadata=NOT_KEYED)
    """Money per million completion tokens."""
    budget: float | None = field(default=None, metadata=NOT_KEYED)
    """Money that the replies may cost, in the currency of the prices; None: no limit."""
    send_seed: bool = True
    """Send the sample number as `seed`, so that draws of one question differ and repeat; off for servers that refuse it."""
    seed: int = field(default=0, metadata=NOT_KEYED)
    """Of the jitter of waits; changes no reply."""

    def __post_init__(self) -> None:
        positive = ("max_tokens", "in_flight", "retries", "timeout_s")
        bad = next((name for name in positive if getattr(self, name) <= 0), None)
        if bad is not None:
            raise BadInput(f"teacher.{bad}: must be above 0, got {getattr(self, bad)}")
        if self.temperature < 0 or self.price_in < 0 or self.price_out < 0:
            raise BadInput("teacher: temperature and prices must not be negative")


def ask(
    config: TeacherConfig,
    requests: Iterable[Request],
    log: RequestLog | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Reply]:
    """Replies in request order, for code that is not async. Calls fly while the caller waits for the next reply."""
    loop = asyncio.new_event_loop()  # asyncio.Runner sets signal handlers at every step, which costs as much as a call
    batches = _batches(config, requests, log, on_progress)
    try:
        while batch := loop.run_until_complete(_next(batches)):
            yield from batch
    finally:
        loop.run_until_complete(batches.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def ask_all(
    config: TeacherConfig,
    requests: Iterable[Request],
    log: RequestLog | None = None,
    on_progress: Progress | None = None,
) -> AsyncGenerator[Reply, None]:
    """Replies in request order. Closing the iterator ends the calls in flight.

    Raises:
        BadInput: no or an unusable address, an unset key variable, a key, address or model that the server turns away.
        FailedWork: the budget is spent, or one request met `retries` faults in a row.
    """
    async with aclosing(_batches(config, requests, log, on_progress)) as batches:
        async for batch in batches:
            for reply in batch:
                yield reply


async def _batches(
    config: TeacherConfig, requests: Iterable[Request], log: RequestLog | None, on_progress: Progress | None
) -> AsyncGenerator[list[Reply], None]:
    """The replies, in runs of those that are ready together."""
    waiting: _Queue = deque()
    async with _session(config) as session:
        client = _Client(config, session, log, on_progress)
        try:
            for request in requests:
                waiting.append(client.start(request))
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


class _Client:
    """One run of asking."""

    def __init__(
        self,
        config: TeacherConfig,
        session: aiohttp.ClientSession,
        log: RequestLog | None,
        on_progress: Progress | None,
    ) -> None:
        self._config = config
        self._session = session
        self._log = log
        self._on_progress = on_progress
        self._url = _endpoint(config.url)
        self._sampling = Sampling(model=config.model, temperature=config.temperature, max_tokens=config.max_tokens)
        self._pace = Pace(config.in_flight)
        self._account = Account(price_in=config.price_in, price_out=config.price_out, budget=config.budget)
        self._flying: set[asyncio.Task[Reply]] = set()
        self._flushing = False
        self._asked: dict[bytes, asyncio.Task[Reply]] = {}
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, request: Request) -> Reply | asyncio.Task[Reply]:
        """The logged reply, the call in flight for an equal request, or a new call."""
        key = request_key(request, self._sampling)
        logged = self._log.get(key) if self._log is not None else None
        if logged is not None:
            return self._booked(logged, logged=True)
        if key in self._asked:
            return self._asked[key]
        task = asyncio.create_task(self._answer(request, key))
        self._flying.add(task)
        task.add_done_callback(self._landed)
        if self._log is not None:  # without a log there is nothing that says both must be the same
            self._asked[key] = task
            task.add_done_callback(lambda _: self._asked.pop(key))
        return task

    def _landed(self, task: asyncio.Task[Reply]) -> None:
        self._flying.discard(task)
        if not task.cancelled():
            task.exception()  # seen: those behind the one that ends the run are never awaited

    async def take(self, waiting: _Queue) -> list[Reply]:
        """The replies ready at the head of the queue, at least one; raises at once where any call met what ends the run."""
        head = waiting[0]
        if not isinstance(head, Reply) and not head.done():
            await asyncio.wait((head, self._stopped), return_when=asyncio.FIRST_COMPLETED)
        if self._stopped.done():
            self._stopped.result()
        replies = [_reply(waiting.popleft())]
        while waiting and _ready(waiting[0], whole=True):
            replies.append(_reply(waiting.popleft()))
        return replies

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
        body = payload(request, self._sampling, seeded=self._config.send_seed)
        worst = self._account.price(len(body), self._config.max_tokens)
        fault = _Fault("", "")
        for attempt in range(self._config.retries):
            if attempt:
                await asyncio.sleep(max(backoff(self._config.seed, key, attempt - 1), fault.wait_s))
            async with self._pace.slot(lambda flying: self._admit(worst, flying)):
                outcome = await self._call(body, worst)
            if isinstance(outcome, Reply):
                return self._kept(key, outcome)
            fault = outcome
            self._account.failed(fault.kind)
            if fault.kind == "429":
                self._pace.pushed_back(fault.wait_s)
        raise FailedWork(
            f"{self._url}: gave up after {self._config.retries} faults in a row, the last: {fault.kind} {fault.detail}; "
            "run the same command again to go on from the logged replies"
        )

    def _admit(self, worst: float, flying: int) -> bool:
        if self._stopped.done():
            self._stopped.result()
        return self._account.admit(worst, flying)

    async def _call(self, body: bytes, worst: float) -> "Reply | _Fault":
        if self._log is not None:
            self._log.attempt()
            self._flush_soon()
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                return _judge(response, await _read(response))
        except TornReply as error:
            return _Fault("torn", str(error))
        except aiohttp.ClientPayloadError as error:
            return _Fault("torn", str(error))
        except TimeoutError:
            return _Fault("timeout", f"{self._config.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return _Fault("connection", str(error) or type(error).__name__)
        except BadInput as error:
            self._stop(error)
            raise
        finally:
            self._account.landed(worst)

    def _kept(self, key: bytes, reply: Reply) -> Reply:
        self._pace.succeeded()
        if reply.finish == REFUSED:
            self._account.failed(REFUSED)
        elif self._log is not None:
            reply = self._log.put(key, reply)
            self._flush_soon()
        return self._booked(reply, logged=False)

    def _flush_soon(self) -> None:
        """Commit once for all that this turn of the event loop brings."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        try:
            if self._log is not None:
                self._log.flush()
        except SkyloomError as error:  # a full disk: a callback has nobody to raise to
            self._stop(error)

    def _stop(self, error: SkyloomError) -> None:
        if not self._stopped.done():
            self._stopped.set_exception(error)

    def _booked(self, reply: Reply, *, logged: bool) -> Reply:
        self._account.received(reply, logged=logged)
        if self._on_progress is not None:
            self._on_progress(self._account)
        return reply


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
    if status == 429:
        return _Fault("429", said, _wait_of(response))
    if status >= 500 or status in (408, 409, 425):
        return _Fault("5xx" if status >= 500 else str(status), f"{status} {said}", _wait_of(response))
    if status in (401, 403):
        raise BadInput(f"{response.url}: the key was turned away ({status}): {said}; check teacher.api_key_env")
    if status < 400 or status in (404, 405):
        raise BadInput(
            f"{response.url}: no chat completions here ({status}): {said}; check teacher.url and teacher.model"
        )
    logging.getLogger(__name__).warning("%s: a request was refused (%d): %s", response.url, status, said)
    return Reply(text="", finish=REFUSED, prompt_tokens=0, completion_tokens=0)


def _wait_of(response: aiohttp.ClientResponse) -> float:
    """Seconds of a Retry-After header, given as a number or as a date; 0 where there is none."""
    value = response.headers.get("Retry-After", "")
    try:
        wait_s = float(value) if not value.endswith("GMT") else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(0.0, wait_s), LONGEST_WAIT_S) if math.isfinite(wait_s) else 0.0


def _endpoint(url: str) -> str:
    if URL(url).scheme not in ("http", "https") or not URL(url).host:
        raise BadInput(f"teacher.url: expected an address such as http://127.0.0.1:8000/v1, got {url!r}")
    return url if url.endswith("/chat/completions") else url.rstrip("/") + "/chat/completions"


def _session(config: TeacherConfig) -> aiohttp.ClientSession:
    headers = {"Content-Type": "application/json"}
    if config.api_key_env:
        key = os.environ.get(config.api_key_env, "")
        if not key:
            raise BadInput(f"teacher.api_key_env: the environment variable {config.api_key_env} is not set")
        headers["Authorization"] = f"Bearer {key}"
    connector = aiohttp.TCPConnector(limit=0)  # Pace limits; aiohttp's own 100 would idle the rest
    return aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=config.timeout_s)
    )


def _ready(place: Reply | asyncio.Task[Reply], *, whole: bool = False) -> bool:
    """Nothing to wait for; `whole`: and no error there."""
    return isinstance(place, Reply) or (place.done() and not (whole and (place.cancelled() or place.exception())))


def _reply(place: Reply | asyncio.Task[Reply]) -> Reply:
    return place if isinstance(place, Reply) else place.result()


async def _next(batches: AsyncGenerator[list[Reply], None]) -> list[Reply]:
    return await anext(batches, [])
