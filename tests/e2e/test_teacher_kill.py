"""A client killed by SIGKILL at every write of its log, and resumed: the same results, and at most the calls in flight asked twice.

The clients are forked from one child that has imported everything, so that a kill costs milliseconds; the server, and its count of
calls, live in this process.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.records import Message

TASKS, IN_FLIGHT = 12, 3
CLIENT = """
import os, signal, sys
from pathlib import Path
from skyloom.core.llm import pace
from skyloom.core.llm.chat import Request
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import TeacherConfig, work
from skyloom.core.records import Message

url, tasks, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pace.BASE_S = 0.001
points, deadly = 0, 0


def around(real):
    def wrapped(*arguments):
        for act in (lambda: None, lambda: real(*arguments)):  # die before, or after
            result = act()
            point()
        return result
    return wrapped


def point():
    global points
    points += 1
    if points == deadly:
        os.kill(os.getpid(), signal.SIGKILL)


def question(text):
    return Request(messages=(Message(role="user", content=text),))


def talk(k):
    first = yield question(f"q{k % (tasks - 4)}")  # the last four ask what others have asked
    second = yield question(f"{k} on {first.text}")
    return first.text + second.text


def run(path, out):
    with RequestLog(path) as log:
        config = TeacherConfig(url=url, in_flight=in_flight, retries=50)
        results = list(work(config, (talk(k) for k in range(tasks)), log))
    out.write_text("\\n".join(results))


for line in sys.stdin:  # KILL_AT FOLDER
    place, _, folder = line.strip().partition(" ")
    child = os.fork()
    if child == 0:
        deadly = int(place)
        RequestLog.put, RequestLog.flush = around(RequestLog.put), around(RequestLog.flush)
        run(Path(folder) / "log", Path(folder) / "out")
        (Path(folder) / "points").write_text(str(points))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def answer(messages: Sequence[Message], draw: int) -> str:
    return f"<{messages[-1].content}>"


class Clients:
    """Runs of the client, each in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def run(self, folder: Path, kill_at: int = 0) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{kill_at} {folder}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def clients(server: SimulatedTeacher) -> Generator[Clients]:
    command = [sys.executable, "-c", CLIENT, server.url, str(TASKS), str(IN_FLIGHT)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    try:
        yield Clients(process)
    finally:
        process.communicate(timeout=20)


def paid_for(server: SimulatedTeacher) -> int:
    """Replies that left the server whole."""
    return server.counts["answered"] - server.counts.get("torn_rate", 0)


def sweep(folder: Path, faults: Faults, every: int) -> int:
    """Kill at each `every`-th write, resume, compare; returns how many kills hit."""
    hit = 0
    with SimulatedTeacher(answer, faults, seed=5) as server, clients(server) as client:
        alone = folder / "alone"
        alone.mkdir()
        assert client.run(alone) == 0
        points = int((alone / "points").read_text())
        for place in range(1, points + 1, every):
            cut = folder / str(place)
            cut.mkdir()
            before = paid_for(server)
            code = client.run(cut, place)  # the number of commits depends on timing: a late kill may find the run over
            assert code in (0, -signal.SIGKILL)
            hit += code != 0
            assert client.run(cut) == 0
            assert (cut / "out").read_bytes() == (alone / "out").read_bytes()
            paid = paid_for(server) - before
            with RequestLog(cut / "log") as log:
                assert len(log) <= paid <= len(log) + (IN_FLIGHT if code else 0), f"killed at {place}"
    return hit


@pytest.mark.timeout(240)
def test_a_kill_at_every_write_of_the_log_changes_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path, Faults(), every=1) > 50


@pytest.mark.timeout(240)
def test_kills_among_faults_change_nothing(tmp_path: Path) -> None:
    faults = Faults(rate_429=0.1, error_500_rate=0.1, drop_rate=0.1, torn_rate=0.1)
    assert sweep(tmp_path, faults, every=9) > 5
