"""Waves: order, equal requests, the log, the budget, what is left unanswered, memory."""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import FailedWork
from skyloom.core.llm import waves
from skyloom.core.llm.account import Account
from skyloom.core.llm.chat import Reply, Request, Sampling, refusal
from skyloom.core.llm.desk import Desk
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.waves import in_waves
from skyloom.core.records import Message

SAMPLING = Sampling(model="m", temperature=0.0, max_tokens=9)


def question(text: str) -> Request:
    return Request(messages=(Message(role="user", content=text),))


def talk(name: str, turns: int) -> Generator[Request, Reply, list[str]]:
    heard: list[str] = []
    for turn in range(turns):
        reply = yield question(f"{name}.{turn}")
        heard.append(reply.text)
    return heard


def desk(log: RequestLog | None = None, **account: float) -> Desk:
    return Desk(SAMPLING, Account(**{"price_in": 0.0, "price_out": 0.0, "budget": None, **account}), log, None)


class Echo:
    """Answers in reverse order, and leaves out what `skip` says, once each."""

    def __init__(self, skip: Sequence[str] = ()) -> None:
        self.asked: list[list[str]] = []
        self.skip = list(skip)

    def __call__(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        texts = [request.messages[-1].content for request in requests]
        self.asked.append(texts)
        for number in reversed(range(len(texts))):
            if texts[number] in self.skip:
                self.skip.remove(texts[number])
            else:
                yield number, Reply(text=f"<{texts[number]}>", finish="stop", prompt_tokens=2, completion_tokens=3)


def run(names: Sequence[tuple[str, int]], answer: Echo, wave: int, at: Desk | None = None) -> list[list[str]]:
    return list(in_waves((talk(*each) for each in names), answer, at or desk(), wave, lambda _: 0.0))


@given(turns=st.lists(st.integers(0, 5), max_size=30), wave=st.integers(1, 9))
def test_results_come_in_order_and_waves_are_full(turns: list[int], wave: int) -> None:
    answer = Echo()
    names = [(f"t{k}", count) for k, count in enumerate(turns)]
    assert run(names, answer, wave) == [[f"<t{k}.{turn}>" for turn in range(count)] for k, count in enumerate(turns)]
    assert all(1 <= len(asked) <= wave for asked in answer.asked)
    assert sum(map(len, answer.asked)) == sum(turns)
    if turns and max(turns) == min(turns) > 0 and len(turns) % wave == 0:
        assert len(answer.asked) == sum(turns) // wave


def test_equal_requests_of_a_wave_are_asked_once_and_of_a_run_with_a_log(tmp_path: Path) -> None:
    answer = Echo()
    assert run([("a", 2), ("a", 2), ("b", 1)], answer, 8) == [["<a.0>", "<a.1>"]] * 2 + [["<b.0>"]]
    assert answer.asked == [["a.0", "b.0"], ["a.1"]]
    with RequestLog(tmp_path / "log") as log:
        first, second = Echo(), Echo()
        run([("a", 1)] * 5, first, 2, desk(log))
        run([("a", 1)] * 5, second, 2, desk(log))
        assert (first.asked, second.asked) == ([["a.0"]], [])
        assert (len(log), log.attempts) == (1, 1)


def test_what_is_left_out_is_asked_again() -> None:
    answer = Echo(skip=["b.0", "b.0", "c.1"])
    assert run([("a", 1), ("b", 1), ("c", 2)], answer, 3) == [["<a.0>"], ["<b.0>"], ["<c.0>", "<c.1>"]]
    assert answer.asked == [["a.0", "b.0", "c.0"], ["b.0", "c.1"], ["b.0", "c.1"]]


def test_replies_are_in_the_log_before_the_wave_is_over(tmp_path: Path) -> None:
    class Broken(Echo):
        def __call__(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
            for count, each in enumerate(super().__call__(requests)):
                if count == 3:
                    raise FailedWork("the machine went away")
                yield each

    with RequestLog(tmp_path / "log") as log, pytest.raises(FailedWork, match="went away"):
        run([(f"t{k}", 1) for k in range(8)], Broken(), 8, desk(log))
    with RequestLog(tmp_path / "log") as log:
        assert len(log) == 3
        answer = Echo()
        assert len(run([(f"t{k}", 1) for k in range(8)], answer, 8, desk(log))) == 8
        assert sum(map(len, answer.asked)) == 5


def test_refused_replies_are_handed_on_and_not_logged(tmp_path: Path) -> None:
    with RequestLog(tmp_path / "log") as log:
        at = desk(log)
        heard = list(in_waves([talk("a", 1)], lambda _: [(0, refusal())], at, 4, lambda _: 0.0))
        assert (heard, len(log), at.account.faults) == ([[""]], 0, {"refused": 1})


def test_the_budget_cuts_waves_and_stops_the_run() -> None:
    answer = Echo()
    at = desk(price_in=0.0, price_out=1e6, budget=20.0)  # a reply costs 3
    results: list[list[str]] = []
    with pytest.raises(FailedWork, match="the budget of 20 is spent"):
        results.extend(in_waves((talk(f"t{k}", 1) for k in range(99)), answer, at, 50, lambda _: 9.0))
    assert at.account.money <= 20.0
    assert [len(asked) for asked in answer.asked] == [2, 1, 1]  # each may cost 9
    assert at.account.reserved == 0.0


def test_memory_stays_constant_over_a_stream() -> None:
    taken = 0

    def stream() -> Iterator[Generator[Request, Reply, list[str]]]:
        nonlocal taken
        while True:
            taken += 1
            yield talk(f"t{taken}", 40 if taken % 50 == 1 else 1)

    results = in_waves(stream(), Echo(), desk(), 5, lambda _: 0.0)
    for k in range(300):
        next(results)
        assert taken - k <= waves.AHEAD * 5 + 1
