"""Who is scored when: a bounded queue of conversations and the one thread that scores them in batches.

Formula  a batch is the oldest conversation that waits and those nearest to it in length, until their padded size reaches the budget
         or more than 1/16 of it would be padding. The oldest is always in, so nobody waits for more batches than there were
         conversations before him. A batch starts when what waits would fill it, or its oldest has waited `wait_s`
Source   dynamic batching with a time window: Crankshaw et al. 2017 (Clipper, arXiv 1612.03079, section 4.3)
Flow     wire.prepare -> [submit -> take -> score] -> wire.answer
Limits   One batch that fails is scored again one conversation at a time, so that only what fails by itself gets the error.
Shapes   N conversations of a request, R responses of one
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from skyloom.core.errors import FailedWork
from skyloom.reward.serving.counts import Counts
from skyloom.reward.serving.wire import Refused, lengths

if TYPE_CHECKING:
    from skyloom.reward.encoding import Encoded

    Score = Callable[[Sequence[Encoded]], list[Float[np.ndarray, " R"]]]

PADDING: float = 1 / 16
"""Share of a batch that may be padding (ours)."""
SLACK: int = 128
"""Tokens of padding that are always worth one batch fewer (ours)."""
LONGEST_RETRY_S: int = 60
MEMORY: float = 0.8
"""How much of the running mean of tokens per second the newest batch leaves."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One request in the queue."""

    future: "Future[list[Float[np.ndarray, ' R']]]"
    """Resolves to one array a conversation, or fails."""
    scores: "list[Float[np.ndarray, ' R'] | None]"
    jobs: "list[Job]" = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Job:
    """One conversation of a ticket, with all its responses."""

    ticket: Ticket
    place: int
    encoded: "Encoded"
    rows: int
    width: int
    tokens: int
    arrived: float


class Batcher:
    """The queue and its thread; every method may be called from any thread."""

    def __init__(self, score: "Score", budget: int, limit: int, wait_s: float, counts: Counts) -> None:
        """Scores at most `budget` padded tokens at once, holds at most `limit` tokens."""
        self._score, self._budget, self._limit, self._wait_s = score, budget, limit, wait_s
        self._counts = counts
        self._change = threading.Condition()
        self._waiting: dict[Job, None] = {}  # in order of arrival
        self._held = 0  # tokens that wait or are being scored
        self._rate = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="skyloom-score", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether something that is submitted now would be scored."""
        return self._thread.is_alive() and not self._closing

    def waiting(self) -> tuple[int, int]:
        """(conversations that wait, tokens that wait or are being scored)."""
        with self._change:
            return len(self._waiting), self._held

    def submit(self, conversations: "Sequence[Encoded]") -> Ticket:
        """Put a request's conversations at the end of the queue; raises Refused where they do not fit into it."""
        ticket = Ticket(Future(), [None] * len(conversations))
        ticket.future.set_running_or_notify_cancel()  # only `drop` cancels
        now = time.monotonic()
        for place, encoded in enumerate(conversations):
            found = lengths(encoded)
            ticket.jobs.append(Job(ticket, place, encoded, len(found), max(found), sum(found), now))
        tokens = sum(job.tokens for job in ticket.jobs)
        if tokens > self._limit:
            raise Refused(413, f"the request has {tokens} tokens, the queue takes {self._limit}; send fewer at a time")
        with self._change:
            if not self.alive:
                raise Refused(503, "the server is stopping", retry_s=1)
            if self._held + tokens > self._limit:
                wait_s = math.ceil(self._held / self._rate) if self._rate else 1
                raise Refused(503, "the queue is full; try again later", retry_s=min(max(1, wait_s), LONGEST_RETRY_S))
            self._held += tokens
            self._waiting.update(dict.fromkeys(ticket.jobs))
            self._change.notify()
        return ticket

    def drop(self, ticket: Ticket) -> None:
        """Forget a request whose client is gone; what is being scored right now is finished and thrown away."""
        with self._change:
            for job in ticket.jobs:
                if job in self._waiting:
                    del self._waiting[job]
                    self._held -= job.tokens
            self._change.notify()

    def close(self) -> None:
        """Take nothing more, score what waits, and end the thread."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        batch: list[Job] = []
        try:
            while batch := self._next():
                self._work(batch)
        finally:  # only a thread that is torn down leaves anything here
            with self._change:
                left, self._closing = [*batch, *self._waiting], True
            for job in left:
                self._fail(job, FailedWork("the scoring thread ended"))

    def _next(self) -> list[Job]:
        """Wait for work and take a batch; empty when the queue is closed and done."""
        with self._change:
            while True:
                while not self._waiting and not self._closing:
                    self._change.wait()
                if not self._waiting:
                    return []
                left_s = next(iter(self._waiting)).arrived + self._wait_s - time.monotonic()
                if self._closing or left_s <= 0 or sum(job.tokens for job in self._waiting) >= self._budget:
                    batch = pick(list(self._waiting), self._budget)
                    for job in batch:
                        del self._waiting[job]
                    return batch
                self._change.wait(left_s)

    def _work(self, batch: list[Job]) -> None:
        started = time.monotonic()
        results = self._scored(batch)
        tokens = sum(job.tokens for job in batch)
        now = tokens / max(time.monotonic() - started, 1e-6)
        self._rate = MEMORY * self._rate + (1 - MEMORY) * now if self._rate else now
        self._counts.batch(sum(job.rows for job in batch), tokens)
        with self._change:
            self._held -= tokens
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                self._fail(job, result)
                continue
            job.ticket.scores[job.place] = result
            scores = [each for each in job.ticket.scores if each is not None]
            if len(scores) == len(job.ticket.scores) and not job.ticket.future.done():
                job.ticket.future.set_result(scores)

    def _scored(self, batch: list[Job]) -> "list[Float[np.ndarray, ' R'] | Exception]":
        try:
            scores = self._score([job.encoded for job in batch])
            return [_checked(job, each) for job, each in zip(batch, scores, strict=True)]
        except Exception as error:  # noqa: BLE001 - whatever the model raises belongs to these requests, not to the server
            if len(batch) > 1:
                return [result for job in batch for result in self._scored([job])]
            logging.getLogger(__name__).error("a conversation of %d tokens: %s", batch[0].tokens, error)
            return [error]

    def _fail(self, job: Job, error: Exception) -> None:
        self.drop(job.ticket)
        if not job.ticket.future.done():
            job.ticket.future.set_exception(error)


def pick(waiting: Sequence[Job], budget: int) -> list[Job]:
    """The oldest and those nearest to it in length, as far as budget and padding allow; the oldest alone may exceed the budget."""
    oldest = waiting[0]
    batch, rows, width, tokens = [oldest], oldest.rows, oldest.width, oldest.tokens
    for job in sorted(waiting[1:], key=lambda each: abs(each.width - oldest.width)):  # stable: of equals the older
        size = (rows + job.rows) * max(width, job.width)
        padding = size - tokens - job.tokens
        if size <= budget and padding <= max(SLACK, PADDING * size):
            batch.append(job)
            rows, width, tokens = rows + job.rows, max(width, job.width), tokens + job.tokens
    return batch


def _checked(job: Job, scores_R: Float[np.ndarray, " R"]) -> Float[np.ndarray, " R"]:
    if len(scores_R) != job.rows or not np.isfinite(scores_R).all():
        raise FailedWork(f"expected {job.rows} finite scores, got {scores_R}")
    return scores_R
