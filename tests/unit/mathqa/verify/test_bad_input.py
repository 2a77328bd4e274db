"""What people and models write instead of an answer: the grader names it, and never hangs or raises."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skyloom.mathqa.verify.equivalence import RULES
from skyloom.mathqa.verify.grading import Grader, grade_file

PATIENCE_S = 30  # a worker may have to start on a busy machine; a hang would last for ever


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(seconds=1.0, memory_bytes=1 << 29) as shared:
        yield shared


HUGE = {
    "digits": "9" * 10**6,
    "words": "ab " * 350_000,
    "prices": "$" * 10**6,
    "fractions": r"\frac" * 200_000,
    "boxes": r"\boxed{" * 150_000,
    "row of boxes": r"\boxed{1} and " * 70_000,
    "backslashes": "\\" * 10**6,
    "marks": "The answer is " * 70_000,
    "sentences": "a is 1 " * 150_000,
    "list": "1," * 500_000,
    "nested braces": "{" * 10_000 + "1" + "}" * 10_000,
    "nested brackets": "(" * 10_000 + "1" + ")" * 10_000,
    "nested roots": r"\sqrt{" * 10_000 + "2" + "}" * 10_000,
    "equations": "x=" * 9_000,
    "orders": "1<" * 9_000,
    "rows": "1,2;" * 4_000,
    "bars": "|A" * 9_000,
    "NUL": "\0" * 10**6,
    "image": "<img src=data:image/png;base64," + "QUJD" * 250_000 + ">",
    "code": "def f(x):\n    return x\n" * 40_000,
    "another script": "答案是数" * 100_000,
    "groups of digits": "123 " * 4_900,
    "one long number": "1" * 19_000,
    "units": r"\sqrt{2} " + "ab. " * 4_900,
    "ratio": "1:" * 9_000 + "1",
    "primes": "f'" * 9_000,
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_texts_are_graded_in_moments(grader: Grader, name: str) -> None:
    start = time.process_time()
    for gold, prediction in (("5", HUGE[name]), (HUGE[name], "5")):
        verdict = grader.grade(gold, prediction)
        assert verdict.by in RULES
        assert not verdict.equal
    assert grader.grade(HUGE[name], HUGE[name] + "6").by in RULES
    assert time.process_time() - start < 5


ODD = [
    ("12", "１２", True), ("12", "١٢", True), ("12", "१२", True), ("3.5", "٣٫٥", True), ("1234", "１，２３４", True),
    ("12", "\u200f12\u200e", True), ("12", "\u202e12\u202c", True), ("12", "1\x002", True), ("-5", "－5", True),
    ("(1,2)", "（1，2）", True),
    ("12", "２１", False), ("12", "", False), ("12", "   \n\t", False), ("12", "I am sorry, I cannot help with that request at all", False),
    ("12", "```python\nprint(x)\n```", False), ("12", "![plot](plot.png)", False), ("12", r"\boxed{}", False), ("12", "\ud800", False),
    ("12", "nan", False), ("12", r"\infty", False), ("12", "None", False), ("odd", "\x00", False), ("x", "__import__('os')", False),
    ("12", "().__class__.__base__", False), ("{}", "{}", False), ("12", "}{", False), ("12", r"\frac{12}", False),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "prediction", "equal"), ODD)
def test_odd_texts(grader: Grader, gold: str, prediction: str, equal: bool) -> None:
    verdict = grader.grade(gold, prediction)
    assert verdict.by in RULES
    assert verdict.equal is equal


BOMBS = ["5^{5^{5^{5^5}}}", "(((((6!)!)!)!)!)!", "10^{10^{10}}", r"\binom{10^{9}}{5 \cdot 10^{8}}", r"\sum_{k=1}^{10^{9}} \frac{1}{k!}",
         "2^{2^{2^{2^{2^{2}}}}}!", r"\sqrt[99999]{7}^{99999^{999}}"]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_end_in_time(grader: Grader, bomb: str) -> None:
    start = time.monotonic()
    verdict = grader.grade(bomb, f"{bomb} + 1")
    assert time.monotonic() - start < PATIENCE_S
    assert not verdict.equal
    assert verdict.by in ("timeout", "memory", "killed", "unreadable", "algebra")
    assert grader.grade(bomb, bomb).by == "form"


def processes_of(grader: Grader) -> set[int]:
    process = grader._worker._process
    return set() if process is None else {process.pid}


def test_a_worker_that_the_system_kills_is_named_and_the_next_pair_gets_another() -> None:
    with Grader(seconds=60.0) as grader:
        assert grader.grade("x+1", "1+x").equal
        (worker,) = processes_of(grader)
        threading.Timer(0.5, os.kill, (worker, signal.SIGKILL)).start()
        start = time.monotonic()
        verdict = grader.grade(BOMBS[0], "y")
        assert time.monotonic() - start < PATIENCE_S
        assert (verdict.equal, verdict.by) == (False, "killed")
        assert grader.grade("x+1", "1+x").equal
        assert processes_of(grader) != {worker}


def test_a_worker_that_died_between_two_pairs_is_replaced() -> None:
    with Grader() as grader:
        grader.grade("x+1", "1+x")
        (worker,) = processes_of(grader)
        os.kill(worker, signal.SIGKILL)
        time.sleep(0.2)
        assert grader.grade("x+1", "1+x").equal


def test_a_pair_that_outgrows_its_memory_is_named_and_counted(tmp_path: Path) -> None:
    bomb = "(2^{2^{32}})!"
    with Grader(seconds=60.0, memory_bytes=1 << 29) as grader:
        verdict = grader.grade(bomb, "y")
        assert (verdict.equal, verdict.by) == (False, "memory")
        assert grader.grade("x+1", "1+x").equal
    (tmp_path / "in.jsonl").write_text(json.dumps({"gold": bomb, "prediction": "y"}) + "\n")
    counts = grade_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert counts.rows == sum(counts.by.values()) == 1
    assert set(counts.by) <= {
        "memory",
        "timeout",
    }  # the two seconds of a file's grader may pass first on a busy machine


def test_an_interrupted_pair_leaves_no_answer_for_the_next() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Grader(seconds=60.0) as grader:
            assert grader.grade("x+1", "1+x").equal
            worker = grader._worker._process
            assert worker is not None
            worker.send_signal(signal.SIGSTOP)  # its answer comes after the interrupt
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt):
                grader.grade("x+2", "2+x")
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
            assert not grader.grade("x+1", "x+2").equal
            assert grader.grade("(x+1)^2", "x^2+2x+1").equal
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_forked_child_asks_a_worker_of_its_own() -> None:
    """Parent and children ask at once; had they one pipe, they would read each other's verdicts."""
    code = """
import os
from skyloom.mathqa.verify.grading import Grader
with Grader(seconds=60.0) as grader:
    assert grader.grade("x+1", "1+x").equal
    child = os.fork()
    right = all(grader.grade(f"x+{k}", f"{k}+x").equal and not grader.grade(f"x+{k}", f"{k}-x").equal for k in range(30))
    if child == 0:
        os._exit(0 if right else 3)
    assert right and os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_what_was_stopped_is_counted(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [
        {"gold": "4", "prediction": "\ud800"},
        {"gold": "1/2", "prediction": "0.5"},
        {"gold": "4", "prediction": "٤"},
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = grade_file(source, target)
    assert (counts.rows, counts.equal, counts.rejected, sum(counts.by.values())) == (2, 2, 1, 2)
    assert counts.by["number"] == 1
    assert [json.loads(line)["equal"] for line in target.read_text().splitlines()] == [True, True]
