"""Teacher throughput: our client, with its request log, against a plain loop, at 512 calls in flight.

Server   a mock in a process of its own; each reply takes 0.2 to 1 s, drawn from the text: 512 in flight could give 853 replies/s
Peer     a plain aiohttp loop: asyncio.gather under a semaphore of 512, no log, no retries, no order, same server
Measured replies per second between the first tenth and the eighth tenth of the replies, so neither start nor tail counts
Run      python benchmarks/teacher.py [--quick]
"""

import asyncio
import hashlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import numpy as np
from aiohttp import web

from skyloom.core.llm.chat import Request
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import TeacherConfig, ask
from skyloom.core.records import Message

IN_FLIGHT = 512
FASTEST_S, SLOWEST_S = 0.2, 1.0
IDEAL = IN_FLIGHT / ((FASTEST_S + SLOWEST_S) / 2)


async def _reply(request: web.Request) -> web.Response:
    data = await request.read()
    draw = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest()) / 2**64
    await asyncio.sleep(FASTEST_S + draw * (SLOWEST_S - FASTEST_S))
    message = {"role": "assistant", "content": "The answer is 4. " * 60}
    body = {
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 240},
    }
    return web.json_response(body)


def serve(sender: Connection) -> None:
    """Run the mock until the process is ended."""

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", _reply)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        sender.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


def ours(url: str, texts: list[str]) -> list[float]:
    times: list[float] = []
    requests = (Request(messages=(Message(role="user", content=text),)) for text in texts)
    with tempfile.TemporaryDirectory() as folder, RequestLog(Path(folder) / "log.sqlite") as log:
        config = TeacherConfig(url=url, in_flight=IN_FLIGHT)
        for _ in ask(config, requests, log, lambda _: times.append(time.perf_counter())):
            pass
    return times


def peer(url: str, texts: list[str]) -> list[float]:
    times: list[float] = []

    async def one(session: aiohttp.ClientSession, gate: asyncio.Semaphore, text: str) -> None:
        body = {
            "model": "simulated",
            "messages": [{"role": "user", "content": text}],
            "temperature": 0.7,
            "max_tokens": 2048,
        }
        async with gate, session.post(url + "/chat/completions", json=body) as response:
            await response.json()
        times.append(time.perf_counter())

    async def run() -> None:
        gate = asyncio.Semaphore(IN_FLIGHT)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(one(session, gate, text) for text in texts))

    asyncio.run(run())
    return times


def rate(client: Callable[[str, list[str]], list[float]], url: str, texts: list[str]) -> float:
    times = client(url, texts)
    assert len(times) == len(texts), "a reply is missing"
    first, last = len(times) // 10, len(times) * 8 // 10
    return (last - first) / (times[last] - times[first])


def main() -> None:
    quick = "--quick" in sys.argv
    repeats = 1 if quick else 3
    count = IN_FLIGHT * (5 if quick else 14)
    receiver, sender = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(sender,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{receiver.recv()}/v1"
    rates: dict[str, list[float]] = {"ours": [], "peer": []}
    for repeat in range(repeats):  # in turns: other load on the machine strikes both
        for name, client in (("ours", ours), ("peer", peer)):
            rates[name].append(rate(client, url, [f"{name} {repeat} {k}" for k in range(count)]))
    server.terminate()
    mine, theirs = (float(np.median(rates[name])) for name in ("ours", "peer"))
    print(f"{count} requests, {IN_FLIGHT} in flight; ideal {IDEAL:.0f} replies/s")
    print(
        f"ours {mine:.0f}/s = {mine / IDEAL:.1%} of ideal; plain aiohttp semaphore loop {theirs:.0f}/s = {theirs / IDEAL:.1%}"
    )
    result = {"name": "teacher", "ours": round(mine, 1), "peer": round(theirs, 1), "ratio": round(mine / theirs, 3),
              "unit": "replies/s", "repeats": repeats}  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
