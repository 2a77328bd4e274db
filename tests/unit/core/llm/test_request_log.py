"""The request log: kept replies, keys, sharing, damaged files, and a kill -9 in the middle of asking."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm.chat import Reply, Request, Sampling, request_key
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig, ask
from skyloom.core.records import Message

REPLY = Reply(text="naïve \u2028 \U0001f600 \x00", finish="stop", prompt_tokens=3, completion_tokens=4)
REQUEST = Request(messages=(Message(role="user", content="q"),))
SAMPLING = Sampling(model="m", temperature=0.7, max_tokens=10)


def test_a_reply_comes_back_as_it_was(tmp_path: Path) -> None:
    with RequestLog(tmp_path / "deep" / "log.sqlite") as log:
        assert log.get(b"k") is None
        assert log.put(b"k", REPLY) == REPLY
        log.attempt()
    with RequestLog(tmp_path / "deep" / "log.sqlite") as log:
        assert (log.get(b"k"), len(log), log.attempts) == (REPLY, 1, 1)


def test_the_first_reply_stands(tmp_path: Path) -> None:
    with RequestLog(tmp_path / "log.sqlite") as one, RequestLog(tmp_path / "log.sqlite") as two:
        one.put(b"k", REPLY)
        assert two.get(b"k") is None
        one.flush()
        assert two.put(b"k", replace(REPLY, text="other")) == REPLY
        assert len(two) == 1


def test_the_key_sees_everything_that_may_change_the_reply() -> None:
    others = [
        request_key(replace(REQUEST, sample=1), SAMPLING),
        request_key(Request(messages=(Message(role="system", content="q"),)), SAMPLING),
        request_key(Request(messages=(Message(role="user", content="r"),)), SAMPLING),
        request_key(REQUEST, replace(SAMPLING, model="n")),
        request_key(REQUEST, replace(SAMPLING, temperature=0.8)),
        request_key(REQUEST, replace(SAMPLING, max_tokens=11)),
    ]
    key = request_key(REQUEST, SAMPLING)
    assert len({key, *others}) == 7
    assert key.hex() == "297fda2a33dc2335ba6f7c0330bbb9b5"  # a log outlives the version that wrote it


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be read as one. " * 30)
    with pytest.raises(BadInput, match=r"notes\.txt"):
        RequestLog(text)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE t (x)")
    with pytest.raises(BadInput, match="move it away"):
        RequestLog(other)
    with pytest.raises((BadInput, FailedWork), match="folder"):
        RequestLog(tmp_path / "folder" if (tmp_path / "folder").mkdir() is None else tmp_path)


CHILD = """
import sys
from pathlib import Path
from skyloom.core.llm.chat import Request
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import TeacherConfig, ask
from skyloom.core.records import Message

url, path, out = sys.argv[1:]
requests = (Request(messages=(Message(role="user", content=f"q{k}"),)) for k in range(300))
with RequestLog(Path(path)) as log:
    config = TeacherConfig(url=url, in_flight=16, temperature=0.0)
    text = "".join(reply.text + chr(10) for reply in ask(config, requests, log))
Path(out).write_text(text)
"""


def echo(messages: Sequence[Message], draw: int) -> str:
    return messages[-1].content.upper()


def child(server: SimulatedTeacher, folder: Path) -> "subprocess.Popen[bytes]":
    source = Path(__file__).parents[4] / "src"
    command = [sys.executable, "-c", CHILD, server.url, str(folder / "log.sqlite"), str(folder / "out.txt")]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(source)})


def test_kill_nine_loses_at_most_the_calls_in_flight(tmp_path: Path) -> None:
    with SimulatedTeacher(echo, Faults(latency_s=0.02), seed=1) as server:
        for share in (70, 190):
            process = child(server, tmp_path)
            while server.counts.get("answered", 0) < share and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "out.txt").exists()
        assert child(server, tmp_path).wait() == 0
        calls = server.counts["calls"]
    assert (tmp_path / "out.txt").read_text() == "".join(f"Q{k}\n" for k in range(300))
    assert 300 <= calls <= 300 + 2 * 16
    with RequestLog(tmp_path / "log.sqlite") as log:
        assert len(log) == 300
        assert calls <= log.attempts <= calls + 2 * 16  # calls that were counted and had not left when the kill came
        again = ask(TeacherConfig(url="http://127.0.0.1:9/v1", temperature=0.0), [], log)
        assert list(again) == []
