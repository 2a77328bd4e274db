"""The reward server over real sockets, with a scorer whose scores are a hash of the tokens: an answer that is not one's own shows."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput, BadRow
from skyloom.reward.calibrate import Calibration
from skyloom.reward.encoding import Encoded
from skyloom.reward.layout import Group
from skyloom.reward.serve import ServeConfig, listen, server_of
from skyloom.reward.serving.batcher import PADDING, SLACK, Batcher, Job, Ticket, pick
from skyloom.reward.serving.counts import Counts, Histogram
from skyloom.reward.serving.wire import MOST, Refused

CALIBRATION = Calibration(
    temperature=2.0, low=1.0, high=3.0, bound="", mean=0.5, scale=0.25, n=10, nll=0.5, nll_raw=0.6
)


class FakeScorer:
    """Tokens are bytes, a score is their checksum; POISON makes a batch fail, NAN gives one; `gate` holds every batch back."""

    def __init__(self, budget=200, max_length=400, calibration=None):
        self.name = "fake"
        self.config = SimpleNamespace(budget=budget)
        self.max_length = max_length
        self.protocol = {"dtype": "none"}
        self.calibration = calibration
        self.gate = threading.Event()
        self.gate.set()
        self.batches = []

    def encode(self, prompt, responses):
        prefix = [byte for turn in prompt for byte in f"{turn.role}|{turn.content}|".encode()]
        return self._fit(Group(prefix, [list(text.encode()) for text in responses]))

    def encode_text(self, text, add_special_tokens=True):
        return self._fit(Group([], [[1] * add_special_tokens + list(text.encode())]))

    def encode_ids(self, ids):
        if not ids or max(ids) > 255 or min(ids) < 0:
            raise BadRow("", "token ids must lie in 0 to 255")
        return self._fit(Group([], [list(ids)]))

    def _fit(self, group):
        if not all(group.branches):
            raise BadRow("", "empty")
        if group.longest > self.max_length:
            raise BadInput(f"a conversation has {group.longest} tokens, more than max_length={self.max_length}")
        return Encoded(group, 0)

    def score(self, groups):
        assert self.gate.wait(20)
        self.batches.append(sum(len(each.group.branches) for each in groups))
        if any(b"POISON" in bytes(each.group.rows[0]) for each in groups):
            raise RuntimeError("boom\nsecond line")
        return [np.array([np.nan if b"NAN" in bytes(row) else value(row) for row in e.group.rows]) for e in groups]


def value(row):
    return zlib.crc32(bytes(row)) / 2**30 - 2


def expected(prompt, responses):
    return [value(f"user|{prompt}|{text}".encode()) for text in responses]


@contextmanager
def serving(scorer, **settings):
    server = server_of(scorer, ServeConfig(**settings))
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until(lambda: server.started)
        yield listener.getsockname()[1]
    finally:
        scorer.gate.set()
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.005)


def ask(port, path, body=None, method=None):
    """(status, JSON, headers) of one request; bytes go as they are."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method or ("GET" if body is None else "POST"), path, data)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    parsed = json.loads(text) if reply.headers["content-type"] == "application/json" else text.decode()
    return reply.status, parsed, reply.headers


def gauge(port, name):
    text = ask(port, "/metrics")[1]
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))


@pytest.fixture(scope="module")
def scorer():
    return FakeScorer(calibration=CALIBRATION)


@pytest.fixture(scope="module")
def port(scorer):
    with serving(scorer, max_body=20_000, queue=5_000, body_s=0.5) as port:
        yield port


# --- what comes back ---


def test_prompt_and_responses(port, scorer):
    status, got, _ = ask(port, "/v1/score", {"prompt": "hi", "responses": ["a", "bc"], "id": "x7"})
    scores = np.array(expected("hi", ["a", "bc"]))
    (data,) = got["data"]
    assert status == 200
    assert data["scores"] == scores.tolist()  # to the last bit
    assert (data["index"], data["id"], data["tokens"], data["truncated"]) == (0, "x7", [9, 10], False)
    assert np.allclose(data["normalized"], (scores - 0.5) / 0.25)
    p = 1 / (1 + np.exp(-(scores[0] - scores[1]) / 2))
    assert np.allclose(data["p_win"], [p, 1 - p])
    assert (got["model"], got["object"], got["usage"]["prompt_tokens"]) == ("fake", "list", 19)


def test_chance_to_win_is_the_mean_over_the_others(port):
    responses = ["a", "b", "c", "d"]
    data = ask(port, "/v1/score", {"prompt": "p", "responses": responses})[1]["data"][0]
    scores = expected("p", responses)
    for k, mine in enumerate(scores):
        others = [1 / (1 + np.exp(-(mine - other) / 2)) for j, other in enumerate(scores) if j != k]
        assert np.isclose(data["p_win"][k], np.mean(others))


def test_a_conversation_is_its_prompt_with_one_response(port):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}]
    data = ask(port, "/v1/score", {"messages": turns})[1]["data"][0]
    assert data["scores"] == expected("hi", ["a"])
    assert data["p_win"] is None  # there is nobody to beat
    again = ask(port, "/v1/score", {"prompt": turns[:1], "responses": ["a"]})[1]["data"][0]
    assert again == data


def test_several_items_keep_their_order(port):
    items = [{"id": str(k), "prompt": "p" * (40 - k), "responses": [f"r{k}", "s"]} for k in range(30)]
    got = ask(port, "/v1/score", {"model": "fake", "items": items})[1]["data"]
    assert [each["id"] for each in got] == [str(k) for k in range(30)]
    assert [each["scores"] for each in got] == [expected(each["prompt"], each["responses"]) for each in items]


def test_without_calibration_there_are_raw_scores_only():
    with serving(FakeScorer()) as port:
        data = ask(port, "/v1/score", {"prompt": "hi", "responses": ["a", "b"]})[1]["data"][0]
    assert (data["normalized"], data["p_win"]) == (None, None)


def test_classify_as_vllm(port):
    status, got, _ = ask(port, "/classify", {"input": ["ab", "c"], "model": "fake", "priority": 0, "request_id": "r"})
    assert status == 200
    assert got["id"] == "classify-r"
    assert [each["probs"] for each in got["data"]] == [[value(b"\1ab")], [value(b"\1c")]]  # special tokens by default
    assert set(got) == {"id", "object", "created", "model", "data", "usage"}
    assert set(got["data"][0]) == {"index", "label", "probs", "num_classes"}
    assert got["usage"] == {"prompt_tokens": 5, "total_tokens": 5, "completion_tokens": 0}


def test_classify_takes_every_form_of_input(port):
    def logits(**body):
        return [each["probs"][0] for each in ask(port, "/classify", body)[1]["data"]]

    assert logits(input="ab", add_special_tokens=False) == [value(b"ab")]
    assert logits(input=[97, 98]) == [value(b"ab")]
    assert logits(input=[[97], [98, 99]]) == [value(b"a"), value(b"bc")]
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}]
    assert logits(messages=turns) == expected("hi", ["a"])


def test_looks(port):
    assert ask(port, "/health")[:2] == (200, {"status": "ok"})
    (model,) = ask(port, "/v1/models")[1]["data"]
    assert (model["id"], model["max_model_len"], model["calibrated"]) == ("fake", 400, True)
    assert ask(port, "/nowhere")[0] == 404
    assert ask(port, "/v1/score")[0] == 405


def test_every_reference_of_the_schema_resolves(port):
    schema = ask(port, "/openapi.json")[1]

    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            for each in node.values():
                yield from references(each)
        elif isinstance(node, list):
            for each in node:
                yield from references(each)

    found = list(references(schema))
    assert found
    for reference in found:
        node = schema
        for part in reference.removeprefix("#/").split("/"):
            node = node[part.replace("~1", "/")]


# --- what is refused ---

USER, ASSISTANT = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}
BAD = {
    "no JSON": ("/v1/score", b"{", 400, "JSON"),
    "empty": ("/v1/score", b"", 400, "JSON"),
    "half a surrogate pair": ("/v1/score", b'{"prompt":"\\ud800","responses":["a"]}', 400, "JSON"),
    "not UTF-8": ("/v1/score", b'{"prompt":"\xff","responses":["a"]}', 400, "JSON"),
    "deep": ("/v1/score", b"[" * 9_000, 400, "recursion"),
    "a list": ("/v1/score", [], 422, "object"),
    "nothing": ("/v1/score", {}, 422, "give `messages`"),
    "NaN": ("/v1/score", b'{"prompt":NaN,"responses":["a"]}', 422, "prompt"),
    "a number": ("/v1/score", {"prompt": "p", "responses": [1]}, 422, "responses[0]: "),
    "misspelt": ("/v1/score", {"prompt": "p", "response": ["a"]}, 422, "response: "),
    "both forms": ("/v1/score", {"messages": [USER, ASSISTANT], "prompt": "p", "responses": ["a"]}, 422, "give"),
    "half a form": ("/v1/score", {"prompt": "p"}, 422, "give `messages`"),
    "items and item": ("/v1/score", {"items": [{"messages": [USER, ASSISTANT]}], "prompt": "p"}, 422, "give `items`"),
    "no items": ("/v1/score", {"items": []}, 422, "items"),
    "no responses": ("/v1/score", {"prompt": "p", "responses": []}, 422, "responses"),
    "blank response": ("/v1/score", {"prompt": "p", "responses": ["a", " "]}, 422, "responses[1]: empty"),
    "blank prompt": ("/v1/score", {"prompt": "", "responses": ["a"]}, 422, "empty turn"),
    "role": ("/v1/score", {"prompt": [{"role": "tool", "content": "x"}], "responses": ["a"]}, 422, "prompt[0].role"),
    "role order": ("/v1/score", {"messages": [USER, USER, ASSISTANT]}, 422, "take turns"),
    "user last": ("/v1/score", {"messages": [USER]}, 422, "assistant"),
    "too many": ("/v1/score", {"prompt": "p", "responses": ["a"] * (MOST + 1)}, 422, f"{MOST}"),
    "too long": ("/v1/score", {"items": [{"prompt": "p" * 500, "responses": ["a"]}]}, 422, "items[0]: a conversation has"),
    "names its tokens": ("/v1/score", {"prompt": "p" * 394, "responses": ["a"]}, 422, "401 tokens, more than max_length=400"),
    "repeated": ("/v1/score", {"prompt": "p" * 9_000, "responses": ["a"] * 900}, 422, "8100000 characters"),
    "another model": ("/v1/score", {"model": "m", "prompt": "p", "responses": ["a"]}, 404, "'fake'"),
    "above the queue": ("/v1/score", {"prompt": "p" * 300, "responses": ["a"] * 30}, 413, "the queue takes 5000"),
    "large": ("/v1/score", b"x" * 20_001, 413, "20000 bytes"),
    "classify nothing": ("/classify", {}, 422, "give `input`"),
    "classify mixed": ("/classify", {"input": ["a", 1]}, 422, "input"),
    "classify empty": ("/classify", {"input": []}, 422, "input"),
    "classify empty text": ("/classify", {"input": ["a", ""], "add_special_tokens": False}, 422, "input[1]: empty"),
    "classify ids": ("/classify", {"input": [300]}, 422, "input[0]: token ids"),
    "classify huge id": ("/classify", {"input": [10**30]}, 422, "input[0]: token ids"),
    "classify squashed": ("/classify", {"input": "a", "use_activation": True}, 422, "use_activation"),
    "classify cut": ("/classify", {"input": "a", "truncate_prompt_tokens": 5}, 422, "truncate_prompt_tokens"),
    "classify template": ("/classify", {"messages": [USER, ASSISTANT], "chat_template": "x"}, 422, "chat_template"),
    "classify another model": ("/classify", {"input": "a", "model": "m"}, 404, "'fake'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_one_line(port, scorer, case):
    path, body, status, said = BAD[case]
    batches = len(scorer.batches)
    got, answer, _ = ask(port, path, body)
    assert got == status, answer
    error = answer["error"]
    assert set(error) == {"message", "type", "code"}
    assert error["code"] == status
    assert said in error["message"], error["message"]
    assert "\n" not in error["message"]
    assert len(error["message"]) < 400
    assert len(scorer.batches) == batches  # none of it was scored
    assert gauge(port, "skyloom_queue_tokens") == 0


def test_a_chunked_body_is_cut_off_at_the_limit(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 50_000_000:  # no end in sight; the server must not wait for it
                link.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
                sent += 0x1000
        except OSError:
            pass
        assert sent < 50_000_000
    assert ask(port, "/health")[0] == 200


def test_a_client_that_reads_late_still_gets_its_413(port):
    size = 8_000_000  # more than the socket buffers hold: closing with bytes unread would reset the connection
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 0x10000):
            link.sendall(b"x" * 0x10000)
        link.sendall(b"x" * (size % 0x10000))
        answer = b""
        while block := link.recv(4096):
            answer += block
    head, body = answer.split(b"\r\n\r\n")
    assert b" 413 " in head.split(b"\r\n")[0]
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"]["code"] == 413


def test_a_body_that_trickles_in_is_given_up_and_holds_up_nobody(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        assert ask(port, "/v1/score", {"prompt": "hi", "responses": ["a"]})[0] == 200
        assert b" 408 " in link.recv(4096).split(b"\r\n")[0]


# --- under load ---


def test_many_clients_each_get_their_own_scores():
    scorer = FakeScorer(budget=300)
    with serving(scorer) as port:

        def client(number):
            for k in range(5):
                prompt, responses = f"client {number} asks {k} " + "x" * (number % 17), [f"{number}", f"{k} {number}"]
                status, got, _ = ask(
                    port, "/v1/score", {"prompt": prompt, "responses": responses, "id": f"{number}-{k}"}
                )
                assert status == 200
                assert got["data"][0]["scores"] == expected(prompt, responses)
                assert got["data"][0]["id"] == f"{number}-{k}"
            return 5

        with ThreadPoolExecutor(40) as pool:
            assert sum(pool.map(client, range(40))) == 200
        assert gauge(port, "skyloom_scored_sequences_total") == 400
    assert max(scorer.batches) > 2  # they were scored together


def test_a_full_queue_says_when_to_come_back():
    scorer = FakeScorer()
    scorer.gate.clear()
    with serving(scorer, queue=100) as port, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, port, "/v1/score", {"prompt": "p" * 70, "responses": ["a"]})
        until(lambda: gauge(port, "skyloom_queue_tokens") > 0)
        status, answer, headers = ask(port, "/v1/score", {"prompt": "p" * 70, "responses": ["a"]})
        assert (status, answer["error"]["type"]) == (503, "server_error")
        assert int(headers["retry-after"]) >= 1
        scorer.gate.set()
        assert first.result()[0] == 200
        assert ask(port, "/v1/score", {"prompt": "p" * 70, "responses": ["a"]})[0] == 200


def test_who_hangs_up_is_taken_out_of_the_queue():
    scorer = FakeScorer(budget=10)
    scorer.gate.clear()
    with serving(scorer) as port, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, port, "/v1/score", {"prompt": "p", "responses": ["a"]})
        until(lambda: gauge(port, "skyloom_queue_tokens") > 0)
        until(lambda: gauge(port, "skyloom_queue_conversations") == 0)  # it is being scored
        held = gauge(port, "skyloom_queue_tokens")
        body = json.dumps({"prompt": "left", "responses": ["b"]}).encode()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
            link.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            until(lambda: gauge(port, "skyloom_queue_conversations") == 1)
        until(lambda: gauge(port, "skyloom_queue_conversations") == 0)
        assert gauge(port, "skyloom_queue_tokens") == held
        scorer.gate.set()
        assert first.result()[0] == 200
        until(lambda: 'skyloom_requests_total{path="/v1/score",code="499"} 1' in ask(port, "/metrics")[1])
    assert sum(scorer.batches) == 1


@pytest.mark.parametrize("poison", ["POISON", "NAN"])
def test_a_failure_is_the_failing_request_s_own(poison):
    scorer = FakeScorer(budget=10_000)
    scorer.gate.clear()
    with serving(scorer) as port, ThreadPoolExecutor(5) as pool:
        texts = ["good", f"x {poison}", "fine"]
        pending = [pool.submit(ask, port, "/v1/score", {"prompt": t, "responses": ["a"]}) for t in texts]
        time.sleep(0.1)
        scorer.gate.set()
        (good, got, _), (bad, answer, _), (fine, _, _) = (each.result() for each in pending)
        assert (good, bad, fine) == (200, 500, 200)
        assert got["data"][0]["scores"] == expected("good", ["a"])
        assert "\n" not in answer["error"]["message"]
        assert ask(port, "/health")[0] == 200
        assert gauge(port, "skyloom_queue_tokens") == 0


def test_stopping_answers_what_was_accepted():
    scorer = FakeScorer(budget=10)
    scorer.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        with serving(scorer) as port:
            pending = [pool.submit(ask, port, "/v1/score", {"prompt": f"p{k}", "responses": ["a"]}) for k in range(8)]
            until(lambda: gauge(port, "skyloom_queue_tokens") == 8 * 9)
        for k, each in enumerate(pending):
            status, got, _ = each.result()
            assert status == 200
            assert got["data"][0]["scores"] == expected(f"p{k}", ["a"])


def test_a_taken_port_and_a_bad_setting_are_the_user_s():
    with listen("127.0.0.1", 0) as taken, pytest.raises(BadInput, match="another port"):
        listen("127.0.0.1", taken.getsockname()[1])
    for setting in ({"queue": 0}, {"port": 70_000}, {"wait_ms": -1.0}, {"workers": 0}):
        with pytest.raises(BadInput, match=next(iter(setting))):
            ServeConfig(**setting)


# --- the queue alone ---


def job(width, rows=1):
    return Job(Ticket(Future(), []), 0, Encoded(Group([], [[0] * width] * rows), 0), rows, width, rows * width, 0.0)


shapes = st.lists(st.tuples(st.integers(1, 600), st.integers(1, 4)), min_size=1, max_size=40)


@given(shapes, st.integers(1, 4000))
def test_a_batch_holds_the_oldest_and_obeys_its_bounds(first, budget):
    waiting = [job(*shape) for shape in first]
    batch = pick(waiting, budget)
    assert batch[0] is waiting[0]
    assert len({id(each) for each in batch}) == len(batch)
    if len(batch) > 1:
        size = sum(each.rows for each in batch) * max(each.width for each in batch)
        assert size <= budget
        assert size - sum(each.tokens for each in batch) <= max(SLACK, PADDING * size)


@given(shapes, shapes, st.integers(1, 4000))
def test_nobody_starves(first, later, budget):
    waiting, arriving = [job(*shape) for shape in first], [job(*shape) for shape in later]
    line, batches, start = list(waiting), 0, set(map(id, waiting))
    while any(id(each) in start for each in line):
        batch = pick(line, budget)
        line = [each for each in line if all(each is not other for other in batch)] + arriving[batches : batches + 1]
        batches += 1
    assert batches <= len(waiting)


def batcher(scorer, limit=1000, wait_s=0.0, budget=100):
    return Batcher(scorer.score, budget, limit, wait_s, Counts())


def test_a_full_budget_does_not_wait():
    scorer = FakeScorer()
    queue = batcher(scorer, wait_s=60.0)
    started = time.monotonic()
    tickets = [queue.submit([scorer.encode_ids([k] * 50)]) for k in (1, 2)]
    assert [each.future.result(10)[0].tolist() for each in tickets] == [[value([k] * 50)] for k in (1, 2)]
    assert time.monotonic() - started < 10
    queue.close()
    assert scorer.batches == [2]


def test_waiting_a_moment_makes_one_batch_of_two():
    scorer = FakeScorer()
    queue = batcher(scorer, wait_s=0.3)
    tickets = [queue.submit([scorer.encode_ids([k])]) for k in (1, 2)]
    for each in tickets:
        each.future.result(10)
    queue.close()
    assert scorer.batches == [2]


def test_a_dropped_request_gives_its_place_back():
    scorer = FakeScorer()
    queue = batcher(scorer, wait_s=60.0, limit=90)
    first = queue.submit([scorer.encode_ids([1] * 40), scorer.encode_ids([2] * 40)])
    with pytest.raises(Refused, match="full") as told:
        queue.submit([scorer.encode_ids([3] * 40)])
    assert (told.value.status, told.value.retry_s) == (503, 1)
    queue.drop(first)
    assert queue.waiting() == (0, 0)
    second = queue.submit([scorer.encode_ids([3] * 40)])
    queue.close()  # which does not wait for the window
    assert second.future.result(1)[0].tolist() == [value([3] * 40)]
    assert not first.future.done()
    assert not queue.alive
    with pytest.raises(Refused, match="stopping"):
        queue.submit([scorer.encode_ids([1])])


def test_a_scorer_that_loses_one_is_found_out():
    queue = Batcher(lambda groups: [np.zeros(1)] * (len(groups) - 1), 100, 100, 0.0, Counts())
    ticket = queue.submit([Encoded(Group([], [[1]]), 0)])
    assert isinstance(ticket.future.exception(10), ValueError)
    queue.close()


def test_a_thread_that_dies_fails_what_it_left_behind(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def die(groups):
        raise SystemExit

    queue = Batcher(die, 1, 100, 0.05, Counts())
    tickets = [queue.submit([Encoded(Group([], [[1]]), 0)]) for _ in range(3)]
    errors = [each.future.exception(10) for each in tickets]
    assert [str(each) for each in errors] == ["the scoring thread ended"] * 3
    until(lambda: not queue.alive)


def test_metrics_are_cumulative():
    histogram = Histogram((1.0, 2.0))
    for number in (0.5, 1.0, 1.5, 9.0):
        histogram.add(number)
    assert histogram.lines("x") == [
        'x_bucket{le="1.0"} 2', 'x_bucket{le="2.0"} 3', 'x_bucket{le="+Inf"} 4', "x_sum 12.0", "x_count 4",
    ]  # fmt: skip


def test_metrics_page(port):
    ask(port, "/v1/score", {"prompt": "hi", "responses": ["a"]})
    ask(port, "/v1/score", b"{")
    until(lambda: 'path="/v1/score",code="400"' in ask(port, "/metrics")[1])
    _, text, headers = ask(port, "/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    named = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {
        "skyloom_requests_total",
        "skyloom_request_seconds",
        "skyloom_batch_tokens",
        "skyloom_queue_tokens",
    } <= named
    for line in text.splitlines():
        assert line.startswith("#") or np.isfinite(float(line.rsplit(" ", 1)[1]))


def test_importing_the_server_brings_no_torch():
    code = "import sys, skyloom.reward.serve, skyloom.app.reward_serve; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_disconnect_while_the_body_is_read(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
    until(lambda: 'path="/v1/score",code="499"' in ask(port, "/metrics")[1])


def test_scoring_blocks_nothing_else():
    scorer = FakeScorer()
    scorer.gate.clear()
    with serving(scorer) as port, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(ask, port, "/v1/score", {"prompt": "p", "responses": ["a"]})
        until(lambda: gauge(port, "skyloom_queue_tokens") > 0)
        assert ask(port, "/health")[0] == 200
        assert ask(port, "/v1/score", b"{")[0] == 400
        assert not pending.done()
        scorer.gate.set()
        assert pending.result()[0] == 200
