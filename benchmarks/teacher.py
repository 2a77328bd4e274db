"""Teacher throughput: our client, with its request log, against peers' loops on one mock server; and memory over long runs.

Server   a bare asyncio protocol in a process of its own: every reply takes the same time, so n in flight can give n / seconds
Loads    512 in flight with replies of 1 s, 2,048 with 4 s: 512 replies/s at most, either way
Peers    plain: aiohttp under a semaphore, keeps nothing (what the machine can do); nemo: NeMo-Skills' form, every task made up front, a
         line appended by position under a lock, put in order at the end; open_r1: open-r1's form, a row written and flushed as it
         comes; curator: bespokelabs-curator itself, where `--curator PYTHON` names an interpreter that has it
Measured replies per second over whole rounds of the load, the first and the last two left out; each client in a process of its own,
         with its CPU seconds and peak memory
Run      python benchmarks/teacher.py [--quick] [--curator PYTHON]    throughput
         python benchmarks/teacher.py --memory                        peak memory at 5,000 and 50,000 requests
         python benchmarks/teacher.py --million                       the same at 1,000,000 (about a quarter of an hour)
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

LOADS = ((512, 1.0), (2048, 4.0))
BODY = json.dumps(
    {
        "choices": [{"message": {"role": "assistant", "content": "The answer is 4. " * 60}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 240},
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Mock(asyncio.Protocol):
    """One connection of the server: reads whole requests, answers each after `latency_s`."""

    latency_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        """Part of a request, or a whole one."""
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self.data = body[length:]
            asyncio.get_running_loop().call_later(self.latency_s, self.transport.write, ANSWER)


def serve(latency_s: float) -> None:
    async def run() -> None:
        Mock.latency_s = latency_s
        server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


def texts(count: int) -> Generator[str]:
    return (f"How many nuts are left of {k} when Ann eats {k % 7}? Reason step by step." for k in range(count))


def body_of(text: str) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0.7, "max_tokens": 2048}


def ours(url: str, count: int, in_flight: int, times: Callable[[], None]) -> None:
    from skyloom.core.llm.chat import Request
    from skyloom.core.llm.request_log import RequestLog
    from skyloom.core.llm.teacher import TeacherConfig, ask
    from skyloom.core.records import Message

    requests = (Request(messages=(Message(role="user", content=text),)) for text in texts(count))
    with tempfile.TemporaryDirectory() as folder, RequestLog(Path(folder) / "log.sqlite") as log:
        config = TeacherConfig(url=url, in_flight=in_flight)
        got = sum(1 for _ in ask(config, requests, log, lambda _: times()))
        assert got == len(log) == count, "a reply is missing"


def loop(url: str, count: int, in_flight: int, kept: Callable[[int, str, str], object]) -> None:
    """The loop that the peers share: a task a request, a semaphore, one session."""

    async def one(session: aiohttp.ClientSession, gate: asyncio.Semaphore, place: int, text: str) -> None:
        async with gate:
            async with session.post(url + "/chat/completions", json=body_of(text)) as response:
                reply = await response.json()
            done = kept(place, text, reply["choices"][0]["message"]["content"])
            if asyncio.iscoroutine(done):
                await done

    async def run() -> None:
        gate = asyncio.Semaphore(in_flight)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(one(session, gate, place, text) for place, text in enumerate(texts(count))))

    asyncio.run(run())


def plain(url: str, count: int, in_flight: int, times: Callable[[], None]) -> None:
    loop(url, count, in_flight, lambda *_: times())


def nemo(url: str, count: int, in_flight: int, times: Callable[[], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output.jsonl-async"
        lock = asyncio.Lock()

        async def kept(place: int, text: str, reply: str) -> None:
            async with lock:
                with path.open("a") as file:
                    file.write(json.dumps({"_async_position": place, "problem": text, "generation": reply}) + "\n")
            times()

        loop(url, count, in_flight, kept)
        rows = sorted(map(json.loads, path.read_text().splitlines()), key=lambda row: row["_async_position"])
        (Path(folder) / "output.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def open_r1(url: str, count: int, in_flight: int, times: Callable[[], None]) -> None:
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "output.jsonl").open("a") as file:
        lock = asyncio.Lock()

        async def kept(place: int, text: str, reply: str) -> None:
            async with lock:
                file.write(json.dumps({"uuid": place, "problem": text, "generations": [reply]}) + "\n")
                file.flush()
            times()

        loop(url, count, in_flight, kept)


def curator(url: str, count: int, in_flight: int, times: Callable[[], None]) -> None:
    """Its own package; it tells of no single reply, so the whole run is timed."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CURATOR_CACHE_DIR": folder, "TELEMETRY_ENABLED": "0", "OPENAI_API_KEY": "none"}
        from bespokelabs import curator as package

        model = package.LLM(
            model_name="gpt-4o-mini",
            backend="openai",
            backend_params={
                "base_url": url,
                "max_requests_per_minute": 10_000_000,
                "max_tokens_per_minute": 10_000_000_000,
                "max_concurrent_requests": in_flight,
            },
        )
        times()
        model(list(texts(count)))
        times()


CLIENTS: dict[str, Callable[[str, int, int, Callable[[], None]], None]] = {
    "ours": ours, "plain": plain, "nemo": nemo, "open_r1": open_r1, "curator": curator,
}  # fmt: skip


def client(name: str, url: str, count: int, in_flight: int) -> None:
    """Run one client and print what it did."""
    moments: list[float] = []
    rounds = 0

    def times() -> None:  # two moments a round are enough, and cost no memory
        nonlocal rounds
        if rounds % in_flight == 0:
            moments.append(time.perf_counter())
        rounds += 1

    start = time.perf_counter()
    if name == "curator":
        CLIENTS[name](url, count, 1, lambda: moments.append(time.perf_counter()))
        rate = count / (moments[-1] - moments[0])
    else:
        CLIENTS[name](url, count, in_flight, times)
        inner = moments[2:-2]
        rate = (len(inner) - 1) * in_flight / (inner[-1] - inner[0])
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "rate": rate,
        "seconds": time.perf_counter() - start,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }
    print(json.dumps(told))


@contextmanager
def mock(latency_s: float) -> Generator[str]:
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(latency_s)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait()


def measure(name: str, url: str, count: int, in_flight: int, python: str = sys.executable) -> dict[str, float]:
    command = [python, __file__, "--client", name, url, str(count), str(in_flight)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def throughput(*, quick: bool, curator_python: str) -> None:
    repeats = 1 if quick else 3
    names = ["ours", "plain"] if quick else ["ours", "plain", "nemo", "open_r1"]
    ratios: list[tuple[float, float]] = []
    for in_flight, latency_s in LOADS[:1] if quick else LOADS:
        ideal = in_flight / latency_s
        count = in_flight * (9 if quick or latency_s > 1 else 19)
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        with mock(latency_s) as url:
            for _ in range(repeats):  # in turns: other load on the machine strikes all
                for name in names:
                    seen[name].append(measure(name, url, count, in_flight))
            if curator_python:
                seen["curator"] = [measure("curator", url, count, in_flight, curator_python)]
        print(
            f"{in_flight} in flight, {latency_s:g} s a reply: {ideal:.0f}/s at most; {count} requests, medians of {repeats}"
        )
        for name, told in seen.items():
            rate, cpu, peak = (statistics.median(each[key] for each in told) for key in ("rate", "cpu_s", "peak_mb"))
            print(
                f"  {name:8} {rate:6.1f}/s = {rate / ideal:6.1%}   CPU {cpu / count * 1e6:5.0f} us a reply   peak {peak:4.0f} MB"
            )
        ratios.append(
            (statistics.median(each["rate"] for each in seen["ours"]), statistics.median(each["rate"] for each in seen["plain"]))
        )  # fmt: skip
    mine, theirs = min(ratios)
    print(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    result = {"name": "teacher", "ours": round(mine, 1), "peer": round(theirs, 1), "ratio": round(mine / theirs, 3),
              "unit": "replies/s", "repeats": repeats}  # fmt: skip
    print(json.dumps(result))


def memory(counts: tuple[int, ...]) -> None:
    peaks: list[float] = []
    with mock(0.2) as url:
        for count in counts:
            told = measure("ours", url, count, 512)
            peaks.append(told["peak_mb"])
            print(
                f"{count:9,} requests: peak {told['peak_mb']:.0f} MB, {told['seconds']:.0f} s, {told['rate']:.0f} replies/s",
                flush=True,
            )
    result = {"name": "teacher memory", "ours": round(peaks[-1], 1), "peer": round(peaks[0], 1),
              "ratio": round(peaks[-1] / peaks[0], 3), "unit": "MB", "repeats": 1}  # fmt: skip
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--curator", default="", metavar="PYTHON")
    parser.add_argument("--serve", type=float, metavar="SECONDS")
    parser.add_argument("--client", nargs=4, metavar=("NAME", "URL", "COUNT", "IN_FLIGHT"))
    chosen = parser.parse_args()
    if chosen.serve is not None:
        serve(chosen.serve)
    elif chosen.client:
        name, url, count, in_flight = chosen.client
        client(name, url, int(count), int(in_flight))
    elif chosen.memory or chosen.million:
        memory((5_000, 1_000_000) if chosen.million else (5_000, 50_000))
    else:
        throughput(quick=chosen.quick, curator_python=chosen.curator)


if __name__ == "__main__":
    main()
