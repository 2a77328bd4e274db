"""The simulated teacher as a plain HTTP client sees it: the API, the faults, their determinism, bad requests."""

import http.client
import json
import socket
import threading
from collections.abc import Sequence

import pytest

from skyloom.core.errors import BadInput
from skyloom.core.llm.chat import TornReply, parse
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.records import Message

NONE = Faults()


def echo(messages: Sequence[Message], draw: int) -> str:
    return f"{messages[-1].content}#{draw}"


def post(server: SimulatedTeacher, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://").removesuffix("/v1"), timeout=5)
    try:
        connection.request("POST", "/v1/chat/completions", body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def chat(text: str, **fields: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **fields}).encode()


def outcome(server: SimulatedTeacher, text: str) -> str:
    try:
        status, body = post(server, chat(text))
        return parse(body).text if status == 200 else str(status)
    except TornReply:
        return "torn"
    except http.client.IncompleteRead:
        return "short"
    except (http.client.HTTPException, ConnectionError):
        return "dropped"


def test_it_speaks_the_api() -> None:
    with SimulatedTeacher(echo, NONE, seed=1) as server:
        status, body = post(server, chat("hello there", seed=3, temperature=0.7, max_tokens=50))
        reply = parse(body)
        assert (status, reply.text, reply.finish) == (200, "hello there#3", "stop")
        assert (reply.prompt_tokens, reply.completion_tokens) == (3, 4)
        assert server.counts == {"calls": 1, "answered": 1, "truncated": 0}


def test_long_replies_are_cut_and_say_so() -> None:
    with SimulatedTeacher(lambda *_: "x" * 100, NONE, seed=1) as server:
        reply = parse(post(server, chat("q", max_tokens=5))[1])
    assert (reply.text, reply.finish, reply.truncated, reply.completion_tokens) == ("x" * 20, "length", True, 5)


def test_faults_depend_on_text_and_attempt_not_on_timing() -> None:
    faults = Faults(rate_429=0.15, error_500_rate=0.15, drop_rate=0.15, torn_rate=0.2)
    texts = [f"question {k}" for k in range(40)]

    def run(order: list[str]) -> dict[str, list[str]]:
        seen: dict[str, list[str]] = {text: [] for text in order}
        with SimulatedTeacher(echo, faults, seed=7) as server:

            def ask(part: list[str]) -> None:
                for text in part:
                    seen[text] += [outcome(server, text), outcome(server, text)]

            threads = [threading.Thread(target=ask, args=(order[k::4],)) for k in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return seen

    first = run(texts)
    assert first == run(texts[::-1])
    flat = [each for pair in first.values() for each in pair]
    assert {"429", "500", "dropped", "torn", "short"} < set(flat)
    assert 25 <= sum(each.endswith("#0") for each in flat) <= 55  # 80 calls, 0.85^3 * 0.8 = 49 % unharmed


def test_another_seed_strikes_other_calls() -> None:
    def struck(seed: int) -> list[str]:
        with SimulatedTeacher(echo, Faults(rate_429=0.5), seed=seed) as server:
            return [outcome(server, f"q{k}") for k in range(20)]

    assert struck(1) == struck(1) != struck(2)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"[]", b"{}", b'{"model": "m", "messages": []}', b'{"model": "m", "messages": [{"role": "user"}]}',
     b'{"model": "m", "max_tokens": 0, "messages": [{"role": "user", "content": "q"}]}'],
)  # fmt: skip
def test_malformed_requests_are_refused(body: bytes) -> None:
    with SimulatedTeacher(echo, NONE, seed=1) as server:
        assert post(server, body)[0] == 400
        assert post(server, chat("still alive"))[0] == 200


def test_large_bodies_and_wrong_keys_are_refused() -> None:
    with SimulatedTeacher(echo, NONE, seed=1, api_key="secret") as server:
        assert post(server, chat("q"))[0] == 401
        assert post(server, chat("q"), {"Authorization": "Bearer wrong"})[0] == 401
        assert post(server, chat("q"), {"Authorization": "Bearer secret"})[0] == 200
        assert post(server, chat("q" * 1_100_000), {"Authorization": "Bearer secret"})[0] == 413


def test_a_failing_responder_is_a_500() -> None:
    def broken(messages: Sequence[Message], draw: int) -> str:
        raise ZeroDivisionError("no")

    with SimulatedTeacher(broken, NONE, seed=1) as server:
        status, body = post(server, chat("q"))
    assert status == 500
    assert b"ZeroDivisionError: no" in body


def test_it_listens_on_loopback_only_and_closes_its_port() -> None:
    with SimulatedTeacher(echo, NONE, seed=1) as server:
        assert server.url.startswith("http://127.0.0.1:")
        port = int(server.url.split(":")[2].removesuffix("/v1"))
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


@pytest.mark.parametrize("field", ["rate_429", "drop_rate", "torn_rate", "error_500_rate", "latency_s"])
def test_rates_are_checked(field: str) -> None:
    with pytest.raises(BadInput, match=field):
        Faults(**{field: -0.1})
