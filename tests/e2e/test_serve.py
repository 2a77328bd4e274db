"""`skyloom reward serve` as a process of its own with a real model: 200 clients at once, bad ones among them, and a SIGTERM under load."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager

import aiohttp
import numpy as np
import pytest

from skyloom.core.llm.backbones import train_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.records import Message
from skyloom.reward.model import new_reward_model, save_reward_model
from skyloom.reward.score import Scorer
from skyloom.reward.settings import ScoreConfig

CLIENTS, REQUESTS = 200, 5
WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "good",
    "bad",
    "long",
    "short",
    "answer",
    "question",
    "why",
    "how",
    "what",
    "seven",
    "blue",
]
SERVE = [sys.executable, "-c", "from skyloom.app.reward_serve import app; app()"]
BAD = [
    (b"{", 400),
    (b'{"prompt": "\\ud800", "responses": ["a"]}', 400),
    (b'{"prompt": NaN, "responses": ["a"]}', 422),
    (b'{"prompt": "p", "responses": []}', 422),
    (json.dumps({"prompt": "long " * 2_000, "responses": ["a"]}).encode(), 422),
    (json.dumps({"prompt": "p", "responses": ["<|end|>"]}).encode(), 422),
    (b"x" * 150_000, 413),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer([" ".join(WORDS)], 300)
    config = BackboneConfig(hidden=32, layers=2, heads=2, max_length=512, vocab=300)
    save_reward_model(new_reward_model(config, tokenizer, seed=3), tokenizer, out)
    return out


@pytest.fixture(scope="module")
def scorer(folder):
    return Scorer.load(folder, ScoreConfig(over_long="error"))


@contextmanager
def serving(folder, *options):
    command = [*SERVE, str(folder), "--port", "0", *options]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        line = process.stdout.readline()
        assert " at http://" in line, line + process.stderr.read()
        yield process, line.rsplit(" ", 1)[1].strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def conversation(client, k):
    draw = random.Random(client * REQUESTS + k)
    text = " ".join(draw.choices(WORDS, k=draw.randint(1, 30)))
    return f"client {client} asks {k}: {text}", [f"{each} {text[: draw.randint(0, 60)]}" for each in range(1 + k % 3)]


def right(scorer, prompt, responses):
    return scorer.score([scorer.encode([Message(role="user", content=prompt)], responses)])[0]


def close(got, want):
    return np.allclose(got, want, rtol=0, atol=1e-5 * max(1.0, float(np.abs(want).max())))


async def post(session, url, body, retries=200):
    """(status, JSON, 503s met); comes back after a 503 as a client should."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    for met in range(retries):
        async with session.post(url, data=data) as reply:
            if reply.status != 503:
                return reply.status, await reply.json(), met
            wait_s = int(reply.headers["retry-after"])
        await asyncio.sleep(wait_s * random.Random(met).uniform(0.3, 1.0))
    raise AssertionError("503 without end")


async def hang_up(url, number):
    """Send a good request and leave without an answer."""
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"prompt": f"left {number}", "responses": ["a"]}).encode()
    writer.write(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    writer.close()


async def client(session, url, number, answers):
    met = 0
    for k in range(REQUESTS):
        prompt, responses = conversation(number, k)
        if number % 5 == 0:
            body, status = BAD[(number // 5 + k) % len(BAD)]
            got, answer, _ = await post(session, url + "/v1/score", body)
            assert got == status, answer
            assert "\n" not in answer["error"]["message"]
        if number % 7 == 0:
            await hang_up(url, number)
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": responses[0]}]
        name = f"{number}-{k}"
        if k == 3:
            got, answer, waits = await post(session, url + "/classify", {"messages": turns, "request_id": name})
            assert got == 200, answer
            assert answer["id"] == f"classify-{name}"
            answers[number, k] = answer["data"][0]["probs"]
        else:
            item = {"id": name, "prompt": prompt, "responses": responses}
            extra = {"id": "other", "messages": turns}
            body = {"items": [extra, item]} if k == 2 else item
            got, answer, waits = await post(session, url + "/v1/score", body)
            assert got == 200, answer
            assert answer["data"][-1]["id"] == name
            answers[number, k] = answer["data"][-1]["scores"]
        met += waits
    return met


def test_200_clients_lose_cross_and_garble_nothing(folder, scorer):
    answers = {}

    async def everybody(url):
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            waits = await asyncio.gather(*(client(session, url, number, answers) for number in range(CLIENTS)))
            async with session.get(url + "/health") as reply:
                assert reply.status == 200
            return sum(waits)

    with serving(folder, "--queue", "8000", "--budget", "4096", "--max-body", "100000") as (process, url):
        waits = asyncio.run(everybody(url))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "stopped" in out
    assert "Traceback" not in err
    assert waits > 0  # the queue was full at times, and nobody minded
    assert len(answers) == CLIENTS * REQUESTS
    for (number, k), got in answers.items():
        prompt, responses = conversation(number, k)
        want = right(scorer, prompt, responses[:1] if k == 3 else responses)
        assert len(got) == len(want)
        assert close(np.array(got), want), (number, k)


def test_sigterm_under_load_loses_no_accepted_request(folder, scorer):
    count = 60

    async def page(session, url):
        async with session.get(url + "/metrics") as reply:
            lines = (await reply.text()).splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line[0] != "#"}

    async def load(process, url):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            bodies = [{"prompt": f"{k} " + "why " * 100, "responses": ["blue " * (k % 9 + 1)]} for k in range(count)]
            tasks = [asyncio.create_task(post(session, url + "/v1/score", body)) for body in bodies]
            while True:
                now = await page(session, url)
                answered = now.get('skyloom_requests_total{path="/v1/score",code="200"}', 0)
                if answered + now["skyloom_requests_open"] - 1 == count:
                    break
            process.send_signal(signal.SIGTERM)
            return now["skyloom_requests_open"] - 1, bodies, await asyncio.gather(*tasks)

    with serving(folder, "--budget", "512") as (process, url):
        still_open, bodies, replies = asyncio.run(load(process, url))
        assert process.wait(30) == 0
    assert still_open > 5
    for body, (status, answer, _) in zip(bodies, replies, strict=True):
        assert status == 200
        assert close(np.array(answer["data"][0]["scores"]), right(scorer, body["prompt"], body["responses"]))
