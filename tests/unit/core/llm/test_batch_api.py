"""The batch API against a simulated vendor: order, faults, limits, kills at every step, and what is paid for."""

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm import batch_api, pace
from skyloom.core.llm.batch_api import BatchApi
from skyloom.core.llm.chat import Reply, Request
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
    return Request(messages=(Message(role="user", content=text),), sample=sample)


def echo(messages: Sequence[Message], draw: int) -> str:
    return f"{messages[-1].content}/{draw}"


def batched(server: SimulatedTeacher) -> TeacherConfig:
    return TeacherConfig(backend="batch", url=server.url, poll_s=0.01)


REQUESTS = [question(f"q{k}", sample=k % 2) for k in range(30)]
EXPECTED = [f"q{k}/{k % 2}" for k in range(30)]


def texts(config: TeacherConfig, log: RequestLog | None = None, count: int = 30) -> list[str]:
    return [reply.text for reply in ask(config, REQUESTS[:count], log)]


def test_a_batch_answers_all_and_is_fetched_once(tmp_path: Path) -> None:
    with SimulatedTeacher(echo, Faults(latency_s=0.05), seed=1) as server, RequestLog(tmp_path / "log") as log:
        assert texts(batched(server), log) == EXPECTED
        assert texts(batched(server), log) == EXPECTED
        assert (server.counts["batches"], server.counts["batch_requests"], server.counts.get("calls", 0)) == (1, 30, 0)
        assert log.batches == []
        http = replace(
            batched(server), backend="http"
        )  # one model, one set of keys: either way of asking knows the replies
        assert texts(http, log) == EXPECTED
        assert server.counts.get("calls", 0) == 0


def test_failed_and_expired_lines_are_asked_again(tmp_path: Path) -> None:
    faults = Faults(rate_429=0.2, error_500_rate=0.2, drop_rate=0.2)
    with SimulatedTeacher(echo, faults, seed=1) as server, RequestLog(tmp_path / "log") as log:
        assert texts(batched(server), log) == EXPECTED
        assert server.counts["batches"] > 2
        assert server.counts["batch_requests"] == log.attempts > 30
        assert len(log) == 30


def test_conversations_take_a_batch_a_turn() -> None:
    def talk(name: str):
        first = yield question(name)
        return (yield question(f"on {first.text}")).text

    with SimulatedTeacher(echo, NONE, seed=1) as server:
        assert list(work(batched(server), map(talk, "abc"))) == [f"on {name}/0/0" for name in "abc"]
        assert (server.counts["batches"], server.counts["batch_requests"]) == (2, 6)


def test_large_waves_are_cut_into_files_within_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "MOST_REQUESTS", 7)
    with SimulatedTeacher(echo, NONE, seed=1) as server:
        assert texts(batched(server)) == EXPECTED
        assert server.counts["batches"] == 5
    api = BatchApi(TeacherConfig(), "http://h/v1/chat/completions", {}, None)
    monkeypatch.setattr(batch_api, "MOST_BYTES", 900)
    parts = list(api._parts(REQUESTS))
    assert all(len(part) <= 900 and part.count(b"\n") <= 7 for part in parts)
    assert [json.loads(line)["body"]["messages"][0]["content"] for part in parts for line in part.splitlines()] == [
        f"q{k}" for k in range(30)
    ]


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs, not even the log's own clean-up."""


def test_a_run_killed_at_any_step_pays_for_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "MOST_REQUESTS", 2)
    real_once, real_begin, real_put = BatchApi._once, RequestLog.begin_batch, RequestLog.put
    steps = 0
    deadly = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == deadly:
            raise Killed

    def once(self: BatchApi, *arguments: object, **options: object) -> bytes:
        step()
        answer = real_once(self, *arguments, **options)
        step()
        return answer

    def begin(self: RequestLog, batch: object) -> None:
        step()
        real_begin(self, batch)

    def put(self: RequestLog, key: bytes, reply: Reply) -> Reply:
        step()
        return real_put(self, key, reply)

    monkeypatch.setattr(BatchApi, "_once", once)
    monkeypatch.setattr(RequestLog, "begin_batch", begin)
    monkeypatch.setattr(RequestLog, "put", put)
    with SimulatedTeacher(echo, NONE, seed=1) as server:
        for deadly in range(1, 200):
            steps, paid = 0, server.counts.get("batch_requests", 0)
            log = RequestLog(tmp_path / f"log{deadly}")
            try:
                texts(batched(server), log, 5)
                break
            except Killed:
                log._database.close()  # without a commit, as a kill leaves it
            steps = -1_000_000
            with RequestLog(tmp_path / f"log{deadly}") as again:
                assert texts(batched(server), again, 5) == EXPECTED[:5]
                assert again.batches == []
            assert server.counts["batch_requests"] - paid == 5, f"killed at step {deadly}"
        log.close()
    assert (
        deadly > 35
    )  # 3 files: upload, create, look, fetch, each with a step before and after, two marks in the log, and 8 replies


def test_a_server_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    with SimulatedTeacher(echo, NONE, seed=1) as server:
        config = batched(server)
        port = int(server.url.split(":")[2].removesuffix("/v1"))

    def come_back() -> None:
        with SimulatedTeacher(echo, NONE, seed=1, port=port):
            over.wait(20)

    over = threading.Event()
    timer = threading.Timer(0.5, come_back)
    timer.start()
    assert texts(config) == EXPECTED
    over.set()
    timer.join()
    with pytest.raises(FailedWork, match="no reply for"):
        texts(replace(config, patience_s=0.1))


def test_wrong_keys_addresses_and_batches_stop_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with SimulatedTeacher(echo, NONE, seed=1, api_key="right") as server:
        with pytest.raises(BadInput, match="key was turned away"):
            texts(batched(server))
        monkeypatch.setenv("TEST_BATCH_KEY", "right")
        config = replace(batched(server), api_key_env="TEST_BATCH_KEY")
        assert texts(config) == EXPECTED
        with pytest.raises(BadInput, match="no batch API here"):
            texts(replace(config, url=server.url + "/nowhere"))
        monkeypatch.setattr("skyloom.core.llm.simulated_batches.MOST_REQUESTS", 20)
        with pytest.raises(FailedWork, match="batch-1 failed: 30 requests are more than 20"):
            texts(config)
    with pytest.raises(BadInput, match=r"teacher\.url"):
        texts(TeacherConfig(backend="batch"))


def test_batches_that_bring_nothing_end_the_run() -> None:
    with SimulatedTeacher(echo, Faults(drop_rate=1.0), seed=1) as server:
        with pytest.raises(FailedWork, match="3 batches in a row brought no reply"):
            texts(replace(batched(server), retries=3))
        assert server.counts["batches"] == 3
