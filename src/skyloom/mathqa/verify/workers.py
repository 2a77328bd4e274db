"""A worker that can be killed: sends pairs to a process of its own and waits no longer than it said it would.

Formula  a pair that gives no answer within `seconds` costs the process its life; the next pair starts another
Source   ours; alarms inside the process fail off the main thread and inside C code (issues 55 and 65 of Math-Verify)
Flow     under mathqa.verify.grading
Run      Worker(seconds=2.0, memory_bytes=1 << 30).decide("2(x+1)", "2x+2") == Outcome(True, "algebra")
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import IO

from skyloom.core.errors import FailedWork
from skyloom.mathqa.verify.equivalence import Outcome

START_S = 60.0  # SymPy loads in one second here, in many on a busy or cold machine


class Worker:
    """One process, started when first needed; safe to share between threads."""

    def __init__(self, *, seconds: float, memory_bytes: int) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def decide(self, gold: str, answer: str) -> Outcome:
        """The verdict of the computer algebra; by "timeout", "memory" or "killed" where it was stopped."""
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._stop()  # it ended between two pairs, and this one has no part in it; or, after a fork, it is the parent's
            try:
                return self._ask(gold, answer)
            except BaseException:
                self._stop()  # interrupted: the answer still to come would be taken for that of the next pair
                raise

    def _ask(self, gold: str, answer: str) -> Outcome:
        process = self._process or self._start()
        try:
            _pipe(process.stdin).write(json.dumps([gold, answer]).encode() + b"\n")
            _pipe(process.stdin).flush()
            line = self._line(self._seconds)
        except (BrokenPipeError, EOFError):
            code = process.wait()
            self._stop()
            return Outcome(None, "timeout" if code == -signal.SIGALRM else "killed")
        if line is None:
            self._stop()
            return Outcome(None, "timeout")
        equal, by = json.loads(line)
        if by == "memory":
            self._stop()  # what is left of it may be fragmented; a new one starts clean
        return Outcome(equal, by)

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._stop()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"{__package__}.worker", str(self._seconds), str(self._memory_bytes)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, env=environment)
        weakref.finalize(self, _end, self._process)
        self._unread = b""
        try:
            ready = self._line(START_S)
        except EOFError:
            ready = None
        if ready != b'"ready"':
            self._stop()
            raise FailedWork(
                "the grader's worker did not start; try: python -m skyloom.mathqa.verify.worker 2 1073741824"
            )
        return self._process

    def _line(self, seconds: float) -> bytes | None:
        """The next line of the worker, or None when the time is over; raises EOFError where the worker is gone."""
        if self._process is None:
            raise EOFError
        source = _pipe(self._process.stdout)
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                data = os.read(source.fileno(), 1 << 16)
                if not data:
                    raise EOFError
                self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _stop(self) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None


def _pipe(pipe: "IO[bytes] | None") -> "IO[bytes]":
    if pipe is None:
        raise EOFError
    return pipe


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill, reap, and close the pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
