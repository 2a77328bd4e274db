"""The request log: kept replies, keys, sharing, damaged files, and a kill -9 in the middle of asking."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm.chat import Reply, Request, Sampling, request_key
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig, ask
from skyloom.core.records import Message

NONE = Faults()
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


def fill(path: Path, groups: int, each: int) -> dict[bytes, tuple[int, Reply]]:
    """A log whose write-ahead file still holds everything; returns (number of the commit, reply) by key."""
    kept: dict[bytes, tuple[int, Reply]] = {}
    log = RequestLog(path)
    for group in range(groups):
        for k in range(each):
            key = bytes([group, k]) * 8
            kept[key] = (group, replace(REPLY, text=f"{group}.{k} " * 20, reasoning="r" * k))
            log.put(key, kept[key][1])
        log.attempt(each)
        log.flush()
    for suffix in ("", "-wal"):
        copy = path.with_name(f"copy{suffix}")
        copy.write_bytes(path.with_name(path.name + suffix).read_bytes())
    log.close()
    return kept


def survivors(path: Path, kept: dict[bytes, tuple[int, Reply]]) -> set[bytes]:
    """The keys whose replies are there; every reply that is there must be the right one, and the log must take new ones."""
    with RequestLog(path) as log:
        found = {key: log.get(key) for key in kept}
        log.put(b"new", REPLY)
    with RequestLog(path) as log:
        assert log.get(b"new") == REPLY
        assert {key: log.get(key) for key in kept} == found
    assert all(reply in (None, kept[key][1]) for key, reply in found.items())
    return {key for key, reply in found.items() if reply is not None}


def after_rescue(path: Path, kept: dict[bytes, tuple[int, Reply]]) -> set[bytes]:
    """`survivors` in the first run that gets through: one that meets the damage on its way ends with a clear line."""
    for _ in range(2):
        try:
            return survivors(path, kept)
        except FailedWork as error:
            assert "run again" in str(error)
            assert "\n" not in str(error)
    return survivors(path, kept)


def cut_write_ahead(tmp_path: Path, step: int) -> None:
    kept = fill(tmp_path / "log", groups=3, each=4)
    whole, wal = (tmp_path / "copy").read_bytes(), (tmp_path / "copy-wal").read_bytes()
    frame = 24 + 4096
    assert (len(wal) - 32) % frame == 0
    around = {frame * k + 32 + byte for k in range(len(wal) // frame) for byte in (-1, 0, 1, 23, 24, 25)}
    cuts = {0, 1, 31, len(wal)} | around | set(range(0, len(wal), step))
    alive = []
    for cut in sorted(cut for cut in cuts if 0 <= cut <= len(wal)):
        (tmp_path / "cut").write_bytes(whole)
        (tmp_path / "cut-wal").write_bytes(wal[:cut])
        found = survivors(tmp_path / "cut", kept)
        groups = {kept[key][0] for key in found}
        assert found == {key for key, (group, _) in kept.items() if group in groups}  # commits are whole or absent
        assert groups == set(range(len(groups)))
        alive.append(len(groups))
    assert alive == sorted(alive)
    assert (alive[0], alive[-1]) == (0, 3)


def test_a_write_ahead_file_cut_anywhere_loses_only_what_was_behind_the_cut(tmp_path: Path) -> None:
    cut_write_ahead(tmp_path, step=3001)


@pytest.mark.prove
def test_a_write_ahead_file_cut_at_every_twentieth_byte(tmp_path: Path) -> None:
    cut_write_ahead(tmp_path, step=19)


def test_a_database_file_cut_anywhere_is_salvaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = fill(tmp_path / "log", groups=6, each=10)
    whole = (tmp_path / "log").read_bytes()
    assert len(whole) >= 8 * 4096
    alive = []
    for cut in sorted(
        {*range(0, len(whole), 4096), *range(0, len(whole), 1777), 1, 15, 16, 99, 100, 101, len(whole) - 1}
    ):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "log").write_bytes(whole[:cut])
        alive.append(len(after_rescue(folder / "log", kept)))
        if 16 <= cut < len(whole) - 4096:  # the last page may end in nothing
            assert (folder / "log.damaged").stat().st_size > 0  # set aside, not thrown away
    assert max(alive) > 40  # most replies of a file that lost its end
    assert "replies were saved, the rest will be asked for again" in caplog.text


@given(place=st.integers(0, 10**6), bits=st.integers(1, 255), length=st.integers(1, 40))
@settings(max_examples=60)
def test_broken_bytes_never_give_a_wrong_reply(place: int, bits: int, length: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = fill(folder / "log", groups=2, each=10)
        data = bytearray((folder / "log").read_bytes())
        start = 100 + place % (len(data) - 100)
        for k in range(start, min(start + length, len(data))):
            data[k] ^= bits
        (folder / "log").write_bytes(data)
        assert len(after_rescue(folder / "log", kept)) <= 20


def test_a_kill_between_the_two_renames_of_a_rescue_loses_nothing(tmp_path: Path) -> None:
    kept = fill(tmp_path / "log", groups=1, each=4)
    (tmp_path / "log").replace(tmp_path / "log.salvaged")
    assert survivors(tmp_path / "log", kept) == set(kept)


def test_logs_of_earlier_versions_are_read(tmp_path: Path) -> None:
    RequestLog(tmp_path / "log").close()
    old = {"text": "4", "finish": "stop", "prompt_tokens": 1, "completion_tokens": 2}
    with sqlite3.connect(tmp_path / "log") as database:
        database.execute("INSERT INTO replies VALUES (?, ?)", (b"k", json.dumps(old)))
        database.execute("INSERT INTO replies VALUES (?, ?)", (b"l", json.dumps(old)[:-5]))
        database.execute("DROP TABLE batches")
    database.close()
    with RequestLog(tmp_path / "log") as log:
        assert log.get(b"k") == Reply(text="4", finish="stop", prompt_tokens=1, completion_tokens=2)
        assert (log.get(b"l"), log.batches) == (None, [])
        assert log.put(b"l", REPLY) == REPLY == log.get(b"l")


FULL = """
import resource, runpy, sys
from pathlib import Path
from skyloom.core.errors import FailedWork
from skyloom.core.llm.chat import Request
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import TeacherConfig, ask
from skyloom.core.records import Message

url, path, most = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
requests = [Request(messages=(Message(role="user", content=f"q{k} " * 50),)) for k in range(400)]
got = []
try:
    with RequestLog(path) as log:
        got.extend(ask(TeacherConfig(url=url, in_flight=16), requests, log))
except FailedWork as error:
    print("failed", error)
print(len(got))
"""


def test_a_full_disk_stops_the_run_and_loses_nothing_that_was_logged(tmp_path: Path) -> None:
    def run(most: int) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", FULL, server.url, str(tmp_path / "log"), str(most)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4] / "src")},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.splitlines()

    with SimulatedTeacher(echo, NONE, seed=1) as server:
        said, got = run(150_000)
        assert said.startswith("failed")
        assert "what is already logged stays, run again to go on" in said
        first = server.counts["calls"]
        with RequestLog(tmp_path / "log") as log:
            kept = len(log)
        assert int(got) <= kept < 400  # nothing was handed out that is not in the log
        assert kept >= first - 2 * 16  # and hardly more was asked than logged
        assert run(0) == ["400"]
        assert server.counts["calls"] == first + 400 - kept


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
