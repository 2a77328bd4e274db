"""The teacher client against a real server on this machine: order, faults, keys, budget, pace, memory."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from skyloom.core.config import fingerprint, override
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm import pace, teacher
from skyloom.core.llm.account import Account
from skyloom.core.llm.chat import Reply, Request, TornReply, parse
from skyloom.core.llm.pace import Pace, backoff
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig, ask, ask_all
from skyloom.core.records import Message

NONE = Faults()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BASE_S", 0.002)
    monkeypatch.setattr(pace, "CAP_S", 0.05)


def question(text: str, sample: int = 0) -> Request:
    return Request(
        messages=(Message(role="system", content="be brief"), Message(role="user", content=text)), sample=sample
    )


def echo(messages: Sequence[Message], draw: int) -> str:
    return f"{messages[-1].content}/{draw}"


def texts(replies: Iterator[Reply]) -> list[str]:
    return [reply.text for reply in replies]


def test_replies_come_in_request_order_with_every_fault(tmp_path: Path) -> None:
    faults = Faults(latency_s=0.001, rate_429=0.1, error_500_rate=0.1, drop_rate=0.1, torn_rate=0.1)
    requests = [question(f"q{k}", sample=k % 3) for k in range(200)]
    seen: list[Account] = []
    with SimulatedTeacher(echo, faults, seed=3) as server, RequestLog(tmp_path / "log") as log:
        config = TeacherConfig(url=server.url, in_flight=32, retries=20)
        assert texts(ask(config, requests, log, seen.append)) == [f"q{k}/{k % 3}" for k in range(200)]
        account, calls = seen[-1], server.counts["calls"]
        assert (account.replies, account.logged, account.calls, log.attempts) == (200, 0, calls, calls)
        assert account.calls == 200 + sum(account.faults.values())
        assert set(account.faults) == {"429", "5xx", "connection", "torn"}
        assert texts(ask(config, requests, log)) == [f"q{k}/{k % 3}" for k in range(200)]
        assert server.counts["calls"] == calls  # all from the log


def test_equal_requests_are_asked_once_with_a_log(tmp_path: Path) -> None:
    requests = [question("same")] * 5 + [question("same", 1)]
    with SimulatedTeacher(echo, Faults(latency_s=0.01), seed=3) as server, RequestLog(tmp_path / "log") as log:
        assert texts(ask(TeacherConfig(url=server.url), requests, log)) == ["same/0"] * 5 + ["same/1"]
        assert server.counts["calls"] == 2


def test_a_wrong_key_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TEACHER_KEY", "wrong")
    with SimulatedTeacher(echo, NONE, seed=3, api_key="right") as server:
        config = TeacherConfig(url=server.url, api_key_env="TEST_TEACHER_KEY", in_flight=4)
        with pytest.raises(BadInput, match="key was turned away") as caught:
            list(ask(config, (question(str(k)) for k in range(1000))))
        assert "\n" not in str(caught.value)
        assert server.counts["calls"] <= 8
        monkeypatch.setenv("TEST_TEACHER_KEY", "right")
        assert texts(ask(config, [question("q")])) == ["q/0"]
        monkeypatch.delenv("TEST_TEACHER_KEY")
        with pytest.raises(BadInput, match="TEST_TEACHER_KEY is not set"):
            list(ask(config, [question("q")]))


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x/v1", "http://", "/v1"])
def test_an_unusable_address_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput, match=r"teacher\.url"):
        list(ask(TeacherConfig(url=url), [question("q")]))


def test_a_wrong_path_is_bad_input() -> None:
    with SimulatedTeacher(echo, NONE, seed=3) as server, pytest.raises(BadInput, match="no chat completions here"):
        list(ask(TeacherConfig(url=server.url + "/nowhere"), [question("q")]))


def test_a_dead_server_is_failed_work() -> None:
    with SimulatedTeacher(echo, NONE, seed=3) as server:
        url = server.url
    with pytest.raises(FailedWork, match="gave up after 3 faults in a row, the last: connection"):
        list(ask(TeacherConfig(url=url, retries=3), [question("q")]))


def test_a_slow_server_is_a_timeout() -> None:
    with (
        SimulatedTeacher(echo, Faults(latency_s=0.3), seed=3) as server,
        pytest.raises(FailedWork, match="timeout 0.05 s"),
    ):
        list(ask(TeacherConfig(url=server.url, retries=2, timeout_s=0.05), [question("q")]))


def test_a_refused_request_is_named_and_not_logged(tmp_path: Path) -> None:
    requests = [question("a"), question("x" * 1_100_000), question("b")]
    with SimulatedTeacher(echo, NONE, seed=3) as server, RequestLog(tmp_path / "log") as log:
        replies = list(ask(TeacherConfig(url=server.url), requests, log))
        assert [(reply.finish, reply.text) for reply in replies] == [("stop", "a/0"), ("refused", ""), ("stop", "b/0")]
        assert len(log) == 2


def test_cut_replies_are_named() -> None:
    with SimulatedTeacher(lambda *_: "y" * 99, NONE, seed=3) as server:
        (reply,) = ask(TeacherConfig(url=server.url, max_tokens=10), [question("q")])
    assert (reply.finish, reply.truncated, len(reply.text)) == ("length", True, 40)


def test_the_budget_is_never_overdrawn(tmp_path: Path) -> None:
    # 18 prompt characters are 5 tokens; "q10/0" is 2 tokens: 5 * 100 + 2 * 1000 per million = 0.0025 a reply.
    last: list[float] = []
    with SimulatedTeacher(echo, Faults(latency_s=0.001), seed=3) as server, RequestLog(tmp_path / "log") as log:
        config = TeacherConfig(url=server.url, price_in=100, price_out=1000, max_tokens=4, budget=0.1, in_flight=8)
        requests = [question(f"q{k:02}") for k in range(90)]
        replies = ask(config, requests, log, lambda account: last.append(account.money))
        got: list[Reply] = []
        with pytest.raises(FailedWork, match="the budget of 0.1 is spent"):
            got.extend(replies)
        assert last[-1] <= 0.1
        assert 25 <= len(log) <= 40
        calls = server.counts["calls"]
        with pytest.raises(FailedWork, match="budget"):  # logged replies count: a resumed run stops at the same place
            list(ask(config, requests, log))
        assert server.counts["calls"] == calls


def test_memory_stays_constant_over_a_stream() -> None:
    taken = 0

    def stream() -> Iterator[Request]:
        nonlocal taken
        for k in itertools.count():
            taken += 1
            yield question(f"q{k}")

    with SimulatedTeacher(echo, NONE, seed=3) as server:
        replies = ask(TeacherConfig(url=server.url, in_flight=4), stream())
        ahead = [taken - k for k, _ in enumerate(itertools.islice(replies, 300))]
        replies.close()
    assert max(ahead) <= teacher.AHEAD * 4 + 1


def test_calls_overlap() -> None:
    with SimulatedTeacher(echo, Faults(latency_s=0.2), seed=3) as server:
        start = time.monotonic()
        list(ask(TeacherConfig(url=server.url, in_flight=64), [question(str(k)) for k in range(128)]))
        assert time.monotonic() - start < 2.0  # one after the other: 25.6 s


def test_the_async_face_gives_the_same() -> None:
    async def run(url: str) -> list[str]:
        return [reply.text async for reply in ask_all(TeacherConfig(url=url), [question("a"), question("b")])]

    with SimulatedTeacher(echo, NONE, seed=3) as server:
        assert asyncio.run(run(server.url)) == ["a/0", "b/0"]


def test_pace_halves_once_a_burst_and_recovers() -> None:
    async def run() -> list[int]:
        speed = Pace(64)
        seen = [speed.limit]
        for _ in range(20):
            speed.pushed_back(0.0)
        seen.append(speed.limit)
        for _ in range(10):
            speed.succeeded()
        seen.append(speed.limit)
        for _ in range(100):
            speed.succeeded()
        return [*seen, speed.limit]

    assert asyncio.run(run()) == [64, 32, 42, 64]


def test_retry_after_holds_all_calls_back() -> None:
    async def run() -> float:
        speed = Pace(2)
        speed.pushed_back(0.1)
        start = time.monotonic()
        async with speed.slot(lambda _: True):
            return time.monotonic() - start

    assert 0.09 <= asyncio.run(run()) <= 1.0


def test_backoff_grows_with_the_same_jitter_every_time() -> None:
    waits = [backoff(1, b"key", k) for k in range(4)]
    assert waits == [backoff(1, b"key", k) for k in range(4)]
    assert all(0.5 * 0.002 * 2**k <= wait <= 1.5 * 0.002 * 2**k for k, wait in enumerate(waits))
    assert backoff(1, b"key", 40) <= 1.5 * 0.05
    assert backoff(2, b"key", 0) != backoff(1, b"key", 0) != backoff(1, b"kez", 0)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b'{"choices": []}', b'{"choices": [{"message": {"content": 7}}]}', b"\xff", b'{"choices": 3}'],
)
def test_bodies_that_are_no_completion(body: bytes) -> None:
    with pytest.raises(TornReply):
        parse(body)


def test_odd_bodies_that_are_one() -> None:
    reply = parse(b'{"choices": [{"message": {"content": "a\\ud800b"}}], "extra": 1}')
    assert (reply.text, reply.finish, reply.prompt_tokens) == ("a\ufffdb", "unknown", 0)
    assert parse(b'{"choices": [{"message": {"content": null}, "finish_reason": "content_filter"}]}').text == ""


def test_only_what_changes_replies_is_in_the_fingerprint() -> None:
    base = TeacherConfig()
    assert fingerprint(override(base, ["url=http://h/v1", "in_flight=7", "price_in=3", "budget=1"])) == fingerprint(
        base
    )
    assert fingerprint(override(base, ["temperature=0"])) != fingerprint(base)
    with pytest.raises(BadInput, match=r"teacher\.in_flight"):
        override(base, ["in_flight=0"])
