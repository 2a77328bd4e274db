"""THE grader: one verdict for a gold answer and a prediction; filter and evaluation both ask it, nothing else does.

Formula  equal = the exact rules of equivalence.py; what they cannot decide goes to SymPy in a process that is killed after 2 s
         the verdict is the same both ways round, but for a gold in words, which is more than the number in it
Source   rules: equivalence.py; where the answer stands in a solution: extraction.py
Flow     collect -> synthesize -> [curate: verify] -> train -> [evaluate] -> report
Run      skyloom mathqa grade FILE.jsonl --out GRADED.jsonl
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from skyloom.core import store
from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, Reject
from skyloom.mathqa.verify.equivalence import RULES, Outcome, compare, undecided
from skyloom.mathqa.verify.extraction import answer_of, find
from skyloom.mathqa.verify.workers import Worker

LONGEST = 2_000  # characters; a longer answer is compared by the exact rules alone
MOST_DECIDED = 10_000  # pairs that are remembered, of at most 4,000 characters each
STOPPED = frozenset(("timeout", "memory", "killed"))  # depends on the machine: tried anew each time


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the grader says of one pair."""

    equal: bool
    by: str
    """The rule that decided: a key of equivalence.RULES, which explains it."""
    answer: str | None
    """The answer found in the prediction, as written; None where there is none."""


class Counts(NamedTuple):
    """Rows of one graded file."""

    rows: int
    """Graded."""
    equal: int
    rejects: tuple[Reject, ...]
    """Rows that could not be graded: they stand in no output."""
    by: Mapping[str, int]
    """Rows by the rule that decided, in the order of equivalence.RULES; "timeout", "memory" and "killed" among them."""

    @property
    def rejected(self) -> int:
        """How many they are."""
        return len(self.rejects)


def extract(text: str) -> str | None:
    """The final answer of a whole solution, as written: behind the last mark, else the last number, else None."""
    found = find(text)
    return None if found is None else found.answer


class Grader:
    """A grader that owns one worker process, spawned when a pair first needs SymPy; a context manager, thread-safe."""

    def __init__(self, *, seconds: float = 2.0, memory_bytes: int = 1 << 30) -> None:
        """`seconds`, `memory_bytes`: what the computer algebra may take for one pair; ours."""
        self._worker = Worker(seconds=seconds, memory_bytes=memory_bytes)
        self._decided: dict[tuple[str, str], Outcome] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker; the next hard pair starts another."""
        self._worker.close()

    def grade(self, gold: str, prediction: str) -> Verdict:
        """Is the prediction equal to the gold answer? Each may be a bare answer or a whole solution. Never raises on text."""
        wanted, given = answer_of(gold), answer_of(prediction)
        if wanted is None or given is None:
            return Verdict(equal=False, by="no_answer", answer=None if given is None else given.answer)
        if wanted.whole:  # a gold in words is more than its number: "all multiples of 3" is not 3
            same = compare(wanted.whole, given.whole or given.answer, undecided)
            return Verdict(equal=bool(same.equal), by=same.by, answer=given.answer)
        outcome = compare(wanted.answer, given.answer, undecided)
        if outcome.equal is None and max(len(wanted.answer), len(given.answer)) <= LONGEST:
            outcome = self._decide(wanted.answer, given.answer)
        return Verdict(equal=bool(outcome.equal), by=outcome.by, answer=given.answer)

    def _decide(self, gold: str, answer: str) -> Outcome:
        """Asks the worker once a pair: samples of one question repeat theirs."""
        outcome = self._decided.get((gold, answer))
        if outcome is None:
            outcome = self._worker.decide(gold, answer)
            if outcome.by not in STOPPED:
                if len(self._decided) >= MOST_DECIDED:
                    self._decided.clear()
                self._decided[gold, answer] = outcome
        return outcome


def grade(gold: str, prediction: str) -> Verdict:
    """As Grader.grade, with one grader for the whole process."""
    return _shared().grade(gold, prediction)


def grade_file(path_in: Path, path_out: Path) -> Counts:
    """Grade rows {gold, prediction} of a .jsonl, .json or .parquet file: the rows with `equal` and `by` go to path_out."""
    rejects: list[Reject] = []
    lines: list[bytes] = []
    equal, by = 0, Counter[str]()
    with Grader() as grader:
        for graded in _graded(path_in, grader):
            if isinstance(graded, Reject):
                rejects.append(graded)
                continue
            lines.append(json.dumps(graded.data, ensure_ascii=False, sort_keys=True).encode() + b"\n")
            equal += bool(graded.data["equal"])
            by[str(graded.data["by"])] += 1
    store.write_bytes(path_out, b"".join(lines))
    return Counts(len(lines), equal, tuple(rejects), {rule: by[rule] for rule in RULES if by[rule]})


def _graded(path: Path, grader: Grader) -> Iterator[Raw | Reject]:
    for row in store.read_json_rows(path):
        if isinstance(row, Reject):
            yield row
            continue
        try:
            gold = store.text_field(row.data, "gold")
            verdict = grader.grade(gold, store.text_field(row.data, "prediction", empty=True))
        except BadRow as error:
            yield Reject(row.file, row.row, error.field, error.reason)
            continue
        yield Raw(row.file, row.row, {**row.data, "equal": verdict.equal, "by": verdict.by})


@cache
def _shared() -> Grader:
    return Grader()
