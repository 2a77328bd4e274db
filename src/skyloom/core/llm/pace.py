"""How fast to ask: calls in flight under additive increase, multiplicative decrease, the waits after a fault, and how long in all.

Formula  limit + 1 at each success, up to `most`; limit / 2 at a 429, once a second at most; no call starts before the time
         that a Retry-After named. Wait before try k: 0.5 s * 2^k, 30 s at most, times a draw from 0.5 to 1.5
Source   AIMD: Chiu & Jain 1989; jittered exponential back-off: AWS architecture blog, Brooker 2015
Flow     under core.llm.teacher
Run      async with Pace(512).slot(lambda flying: True): ...
"""

import asyncio
import heapq
import itertools
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

from skyloom.core.errors import FailedWork, SkyloomError
from skyloom.core.rng import derive

BASE_S = 0.5
CAP_S = 30.0
LONGEST_WAIT_S = 3600.0  # a server that asks for more has said no
BURST_S = 1.0
TOLD_S = 5.0  # a server that is gone for so long is worth a line


class Pace:
    """Lets calls start; belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._limit = float(most)
        self._flying = 0
        self._not_before = 0.0
        self._last_cut = float("-inf")
        self._tickets = itertools.count()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []  # a heap by ticket

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self, admit: Callable[[int], bool]) -> AsyncGenerator[None, None]:
        """Hold one of the places in flight; waits for a place, for `admit(calls in flight)`, and for the end of a pause.

        A SkyloomError that `admit` raises goes to every caller that waits.
        """
        await self._enter(admit)
        try:
            while (wait_s := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            yield
        finally:
            self._flying -= 1
            self._wake(2)  # for the place given back, and for the one that a success may have added

    async def _enter(self, admit: Callable[[int], bool]) -> None:
        ticket = next(self._tickets)
        try:
            while not (self._flying < self.limit and admit(self._flying)):
                place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                heapq.heappush(self._waiting, (ticket, place))  # woken in vain: keep the turn, or old calls starve
                await place
        except SkyloomError:
            self._wake(len(self._waiting))  # what this one was refused for holds for all that wait
            raise
        self._flying += 1

    def _wake(self, count: int) -> None:
        while count and self._waiting:
            _, place = heapq.heappop(self._waiting)
            if not place.done():  # done: the call behind it was cancelled
                place.set_result(None)
                count -= 1

    def succeeded(self) -> None:
        """A reply came: one more may fly."""
        self._limit = min(self._most, self._limit + 1)

    def pushed_back(self, wait_s: float) -> None:
        """A 429 came: half as many may fly, and none starts for `wait_s` seconds."""
        now = time.monotonic()
        self._not_before = max(self._not_before, now + wait_s)
        if now - self._last_cut >= BURST_S:  # the 429s of one burst are one signal
            self._last_cut = now
            self._limit = max(1.0, self._limit / 2)


def backoff(seed: int, key: bytes, attempt: int) -> float:
    """Seconds to wait after fault number `attempt` (from 0) of a request; the same in every run."""
    jitter = 0.5 + derive(seed, "backoff", key.hex(), attempt) / 2**63
    return min(CAP_S, BASE_S * 2 ** min(attempt, 16)) * jitter


def retry_after(value: str) -> float:
    """Seconds of a Retry-After header, given as a number or as a date; 0 where there is none."""
    try:
        wait_s = float(value) if not value.endswith("GMT") else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(0.0, wait_s), LONGEST_WAIT_S) if math.isfinite(wait_s) else 0.0


class Outage:
    """How long a server has answered nothing: the time since the first fault that no success has followed."""

    def __init__(self, where: str, patience_s: float) -> None:
        self._where = where
        self._patience_s = patience_s
        self._since: float | None = None
        self._told = False

    def fault(self, what: str) -> None:
        """One more call found no server, or one that is too busy; raises FailedWork where that has lasted too long."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        gone_s = now - self._since
        if gone_s >= self._patience_s:
            raise FailedWork(
                f"{self._where}: no reply for {gone_s:.0f} s, the last fault: {what}; run the same command again when it is "
                "back, to go on from the logged replies"
            )
        if gone_s >= TOLD_S and not self._told:
            self._told = True
            logging.getLogger(__name__).warning(
                "%s: no reply for %.0f s (%s); asking on for %.0f s",
                self._where,
                gone_s,
                what,
                self._patience_s - gone_s,
            )

    def success(self) -> None:
        """The server answers."""
        if self._told and self._since is not None:
            logging.getLogger(__name__).warning(
                "%s: answers again after %.0f s", self._where, time.monotonic() - self._since
            )
        self._since, self._told = None, False
