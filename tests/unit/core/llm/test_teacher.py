"""The teacher client against a real server on this machine: order, faults, keys, budget, pace, memory."""

import asyncio
import http.server
import itertools
import json
import threading
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
from skyloom.core.llm.teacher import TeacherConfig, ask, work
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
        assert server.counts["unauthorised"] <= 8
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


def test_a_server_that_never_comes_back_is_failed_work_after_patience() -> None:
    with SimulatedTeacher(echo, NONE, seed=3) as server:
        url = server.url
    start = time.monotonic()
    with pytest.raises(FailedWork, match="no reply for .* the last fault: connection") as caught:
        list(ask(TeacherConfig(url=url, retries=1, patience_s=0.3), [question("q")]))
    assert 0.3 <= time.monotonic() - start < 5
    assert "\n" not in str(caught.value)


def test_a_slow_server_is_a_timeout() -> None:
    with (
        SimulatedTeacher(echo, Faults(latency_s=0.3), seed=3) as server,
        pytest.raises(FailedWork, match="timeout 0.05 s"),
    ):
        list(ask(TeacherConfig(url=server.url, retries=1, timeout_s=0.05, patience_s=0.2), [question("q")]))


def test_a_server_gone_for_long_is_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "TOLD_S", 0.2)  # with the waits of this file, a second stands for ten minutes
    requests = [question(f"q{k}") for k in range(60)]
    with SimulatedTeacher(echo, Faults(latency_s=0.01), seed=3) as server:
        port = int(server.url.split(":")[2].removesuffix("/v1"))
        replies = ask(TeacherConfig(url=server.url, in_flight=8, retries=2), requests)
        got = [next(replies) for _ in range(20)]

    def come_back() -> None:
        with SimulatedTeacher(echo, NONE, seed=3, port=port):
            over.wait(20)

    over = threading.Event()
    timer = threading.Timer(1.0, come_back)
    timer.start()
    got += replies
    over.set()
    timer.join()
    assert [reply.text for reply in got] == [f"q{k}/0" for k in range(60)]
    said = [record.message for record in caplog.records if record.name == "skyloom.core.llm.pace"]
    assert len(said) == 2  # one line when it is gone for long, one when it is back
    assert "no reply for" in said[0]
    assert "answers again" in said[1]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_without_a_server_behind_it_does_not_use_up_the_retries(status: int) -> None:
    calls = 0

    class Gateway(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal calls
            calls += 1
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b"{}" if calls < 6 else b'{"choices": [{"message": {"content": "there"}}]}'
            self.send_response(status if calls < 6 else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Gateway) as gateway:
        thread = threading.Thread(target=gateway.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{gateway.server_port}/v1"
        try:
            assert texts(ask(TeacherConfig(url=url, retries=2), [question("q")])) == ["there"]
        finally:
            gateway.shutdown()
            thread.join()
    assert calls == 6


def test_internal_errors_use_up_the_retries() -> None:
    with (
        SimulatedTeacher(echo, Faults(error_500_rate=1.0), seed=3) as server,
        pytest.raises(FailedWork, match="gave up after 3 faults in a row, the last: 5xx"),
    ):
        list(ask(TeacherConfig(url=server.url, retries=3), [question("q")]))


def test_a_storm_of_429s_passes_and_the_pace_recovers() -> None:
    requests = [question(f"q{k}") for k in range(400)]
    limits: list[int] = []
    with SimulatedTeacher(echo, Faults(rate_429=1.0, retry_after_s=0.2), seed=3) as server:
        threading.Timer(1.5, lambda: setattr(server, "faults", Faults(latency_s=0.002))).start()
        real = Pace.succeeded
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Pace, "succeeded", lambda self: (real(self), limits.append(self.limit))[0])
            got = texts(ask(TeacherConfig(url=server.url, in_flight=64, retries=2), requests))
        assert server.counts["rate_429"] > 64
    assert got == [f"q{k}/0" for k in range(400)]
    assert limits[0] < 40  # cut at least once
    assert limits[-1] == 64


def test_empty_replies_are_handed_on(tmp_path: Path) -> None:
    with SimulatedTeacher(lambda *_: "", NONE, seed=3) as server, RequestLog(tmp_path / "log") as log:
        assert texts(ask(TeacherConfig(url=server.url), [question("a"), question("b")], log)) == ["", ""]
        assert len(log) == 2


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


def test_a_task_goes_on_with_its_replies_and_waits_for_no_other() -> None:
    def talk(name: str, turns: int):
        heard = []
        for turn in range(turns):
            reply = yield question(f"{name}{turn}{'after ' + heard[-1] if heard else ''}")
            heard.append(reply.text)
        return heard

    with SimulatedTeacher(echo, Faults(latency_s=0.1), seed=3) as server:
        start = time.monotonic()
        config = TeacherConfig(url=server.url, in_flight=64)
        told = list(work(config, (talk(f"t{k}-", 1 + k % 3) for k in range(60)), on_progress=None))
        assert time.monotonic() - start < 2.0  # 120 calls one after the other: 12 s
    assert [len(heard) for heard in told] == [1 + k % 3 for k in range(60)]
    assert told[5] == ["t5-0/0", "t5-1after t5-0/0/0", "t5-2after t5-1after t5-0/0/0/0"]


def test_a_logged_task_asks_nothing_and_an_edited_one_only_what_is_new(tmp_path) -> None:
    def talk(name: str):
        first = yield question(name)
        return (yield question("on " + first.text)).text

    with SimulatedTeacher(echo, NONE, seed=3) as server:
        config = TeacherConfig(url=server.url, in_flight=8)
        for names, calls in ((["a", "b", "c"], 6), (["a", "b", "c"], 6), (["a", "new", "c"], 8)):
            with RequestLog(tmp_path / "log.sqlite") as log:
                assert list(work(config, map(talk, names), log)) == [f"on {name}/0/0" for name in names]
            assert server.counts["calls"] == calls


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


def test_calls_start_in_the_order_in_which_they_queued() -> None:
    """A call that was overtaken again and again would hold up all results behind it."""
    started: list[int] = []

    async def call(speed: Pace, number: int) -> None:
        async with speed.slot(lambda _: True):
            started.append(number)
            await asyncio.sleep(0.001 * (number % 3))
            speed.succeeded()

    async def run() -> None:
        speed = Pace(8)
        await asyncio.gather(*(call(speed, number) for number in range(200)))

    asyncio.run(run())
    assert all(abs(place - number) <= 8 for place, number in enumerate(started))


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


def test_only_what_changes_rows_is_in_the_fingerprint() -> None:
    base = TeacherConfig()
    assert fingerprint(override(base, ["url=http://h/v1", "in_flight=7", "budget=1"])) == fingerprint(base)
    for changed in ("temperature=0", "price_in=3"):  # a row carries its cost
        assert fingerprint(override(base, [changed])) != fingerprint(base)
    with pytest.raises(BadInput, match=r"teacher\.in_flight"):
        override(base, ["in_flight=0"])


REASONED = [
    ({"content": "4", "reasoning_content": "two and two"}, ("4", "two and two")),
    ({"content": "4", "reasoning": "two and two"}, ("4", "two and two")),
    ({"content": "4", "reasoning": {"odd": 1}}, ("4", "")),
    ({"content": "<think>\ntwo and two\n</think>\n\n4"}, ("4", "two and two")),
    ({"content": "two and two</think>4"}, ("4", "two and two")),
    ({"content": " <think>two and"}, ("", "two and")),
    ({"content": "so x < y <think>no</think>"}, ("so x < y <think>no</think>", "")),
    ({"content": "", "reasoning_content": "cut"}, ("", "cut")),
    ({"content": None, "reasoning_content": "cut"}, ("", "cut")),
]


@pytest.mark.parametrize(("message", "expected"), REASONED)
def test_reasoning_stands_apart(message: dict[str, object], expected: tuple[str, str]) -> None:
    reply = parse(json.dumps({"choices": [{"message": message}]}).encode())
    assert (reply.text, reply.reasoning) == expected
