"""Tasks answered in waves, for teachers that take many requests at a time: offline models and vendors' batches.

Formula  up to `wave` tasks stand open; the next unanswered request of each goes to `answer` in one list, equal ones once; each
         reply is logged as it arrives; tasks that end make room for the next ones
Flow     core.llm.teacher's `work` for the backends in core.llm.offline and core.llm.batch_api
Order    results come in the order of the tasks; at most 4 * wave tasks stand in memory
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from skyloom.core.llm.chat import Reply, Request
from skyloom.core.llm.desk import Desk

AHEAD = 4  # tasks in memory for each open one: a long conversation at the head does not idle the rest
T = TypeVar("T")
Answer = Callable[[Sequence[Request]], Iterable[tuple[int, Reply]]]
"""Replies as they arrive, each with the place of its request; a request that is left out is asked again in the next wave."""


class _Place(Generic[T]):
    """A task, and what it waits for."""

    request: Request | None
    """To be answered next; None: the task is over."""
    key: bytes
    """Of the request."""
    value: T

    def __init__(self, task: Generator[Request, Reply, T], desk: Desk) -> None:
        self._task = task
        self._desk = desk
        self._send(None)

    def go_on(self, reply: Reply) -> None:
        """Hand the task its reply, and those that follow in the log."""
        self._send(reply)

    def _send(self, reply: Reply | None) -> None:
        try:
            self.request = next(self._task) if reply is None else self._task.send(reply)
            while (logged := self._desk.find(key := self._desk.key(self.request))) is not None:
                self.request = self._task.send(logged)
            self.key = key
        except StopIteration as end:
            self.request, self.value = None, end.value


def in_waves(
    tasks: Iterable[Generator[Request, Reply, T]],
    answer: Answer,
    desk: Desk,
    wave: int,
    worst: Callable[[Request], float],
) -> Iterator[T]:
    """What the tasks return, in their order.

    Args:
        tasks: generators that yield requests and are sent their replies.
        answer: asks one wave; what it raises ends the run, and what it yielded before is in the log.
        desk: the log and the account.
        wave: most tasks open at one time.
        worst: most money that a request's reply may cost.

    Raises FailedWork where the budget is spent.
    """
    source = iter(tasks)
    places: deque[_Place[T]] = deque()
    while True:
        waiting = [place for place in places if place.request is not None]
        while len(waiting) < wave and len(places) < AHEAD * wave and (task := next(source, None)) is not None:
            place = _Place(task, desk)
            places.append(place)
            if place.request is not None:
                waiting.append(place)
            while places and places[0].request is None:
                yield places.popleft().value
        if not waiting:
            return
        replies = _asked(waiting, answer, desk, worst)
        for place in waiting:
            while place.request is not None and (reply := replies.get(place.key)) is not None:
                place.go_on(reply)
        while places and places[0].request is None:
            yield places.popleft().value


def _asked(
    waiting: Sequence[_Place[T]], answer: Answer, desk: Desk, worst: Callable[[Request], float]
) -> dict[bytes, Reply]:
    """One wave: what came, by key."""
    requests: dict[bytes, Request] = {}
    reserved: list[float] = []
    for place in waiting:
        if place.request is None or place.key in requests:
            continue
        price = worst(place.request)
        if not desk.account.admit(
            price, len(reserved)
        ):  # the rest in the next wave, when this one's real cost is known
            break
        reserved.append(price)
        requests[place.key] = place.request
    keys, replies = list(requests), dict[bytes, Reply]()
    try:
        if desk.log is not None:
            desk.log.attempt(len(keys))
            desk.log.flush()
        for number, reply in answer(list(requests.values())):
            replies[keys[number]] = desk.keep(keys[number], reply)
            if desk.log is not None:
                desk.log.flush()
    finally:
        for price in reserved:
            desk.account.landed(price)
    return replies
