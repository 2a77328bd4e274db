"""What the simulated teacher says: it reads the text of the messages, solves or rewords the problem in it, and is sometimes wrong.

It knows the grammar and nothing else: no id, no seed of a problem and no key reaches it, so it reads texts that it never issued
(other numbers, names, wordings) and admits when it cannot read one.

Formula  an event with rate r happens to (text, sample) when hash(event, text, sample) < r: the same request, the same reply
Source   ours; the paper's own teacher was right on half of MATH (Skywork-Math, arXiv 2407.08348, section 3)
Flow     core/llm/simulated.py puts it behind an HTTP server; synthesis talks to that server as to any teacher
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from skyloom.core.records import Message
from skyloom.mathqa.records import MARK
from skyloom.mathqa.world.expressions import Number, Unsolvable
from skyloom.mathqa.world.grammar import Posed, Solution, read, reword, solve

REWORD: re.Pattern[str] = re.compile(r"\b(other words|reword|rephrase|restate)", re.IGNORECASE)
MARKED: re.Pattern[str] = re.compile(r"`([^`\n]+)`")
LABEL: re.Pattern[str] = re.compile(r"^[A-Z][A-Za-z ]{0,20}:\s*", re.MULTILINE)
CONFUSED: str = "I am sorry, I cannot make sense of this problem."
TRIES: int = 20  # slips tried before a problem counts as one that no slip spoils


@dataclass(frozen=True, kw_only=True, slots=True)
class Responder:
    """Called with the messages of a chat and the number of the sample; returns the reply's text.

    Raises:
        ValueError: a rate outside 0 to 1.
    """

    wrong: float = 0.0
    """Share of problems whose answer comes out wrong: the teacher's true error rate."""
    drift: float = 0.0
    """Share of rewordings that change a number, and with it the problem."""
    careless: float = 0.0
    """Share of replies that break off in the middle."""

    def __post_init__(self) -> None:
        for name, rate in (("wrong", self.wrong), ("drift", self.drift), ("careless", self.careless)):
            if not 0 <= rate <= 1:
                raise ValueError(f"{name}={rate} must lie within 0 and 1")

    def __call__(self, messages: Sequence[Message], sample: int = 0) -> str:
        """The reply to a chat."""
        asked: str = "\n".join(message.content for message in messages if message.role == "user")
        posed: Posed | None = find_problem(asked)
        if posed is None:
            return CONFUSED
        chance = _Chance(asked, sample)
        try:
            body: str = self._reworded(posed, chance) if REWORD.search(_task(asked)) else self._solved(posed, chance)
        except Unsolvable as error:
            return f"{CONFUSED} ({error})"
        reply: str = _obey(asked, body)
        return (
            reply[: max(1, int(len(reply) * chance.draw("cut")))]
            if chance.happens("careless", self.careless)
            else reply
        )

    def _solved(self, posed: Posed, chance: "_Chance") -> str:
        right: Solution = solve(posed)
        return (_slipped(posed, right, chance) if chance.happens("wrong", self.wrong) else right).text

    def _reworded(self, posed: Posed, chance: "_Chance") -> str:
        forms: int = len(posed.kind.forms)
        other: int = (posed.form + 1 + chance.pick("form", forms - 1)) % forms
        told: Posed = _drifted(posed, chance) if chance.happens("drift", self.drift) else posed
        return reword(told, other, chance.pick("words", 1_000)).text


@dataclass(frozen=True)
class _Chance:
    """Deterministic draws for one request: a hash of its text and sample number."""

    text: str
    sample: int

    def draw(self, name: str) -> float:
        data: bytes = f"{name}\x1f{self.sample}\x1f{self.text}".encode()
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") / 2**64

    def happens(self, name: str, rate: float) -> bool:
        return self.draw(name) < rate

    def pick(self, name: str, count: int) -> int:
        return int(self.draw(name) * count)


def find_problem(asked: str) -> Posed | None:
    """The problem in a request: the text behind its last label (`Problem:`), else any paragraph, else the whole."""
    labels: list[re.Match[str]] = list(LABEL.finditer(asked))
    behind: list[str] = [asked[label.end() :] for label in reversed(labels)]
    paragraphs: list[str] = [LABEL.sub("", each, count=1) for each in reversed(asked.split("\n\n"))]
    return next((posed for text in (*behind, *paragraphs, asked) if (posed := read(text)) is not None), None)


def _task(asked: str) -> str:
    """The request without the problem that stands behind its last label."""
    labels: list[re.Match[str]] = list(LABEL.finditer(asked))
    return asked[: labels[-1].start()] if labels else asked


def _obey(asked: str, body: str) -> str:
    """Wrap the reply in the marks that the request names in backticks: opening marks end in a colon, the last one closes."""
    marks: list[str] = MARKED.findall(_task(asked))
    opening: str = next((f"{mark} " for mark in marks if mark.endswith(":")), "")
    closing: str = f"\n{marks[-1]}" if marks and not marks[-1].endswith(":") and marks[-1] != MARK.strip() else ""
    return f"{opening}{body}{closing}"


def _slipped(posed: Posed, right: Solution, chance: _Chance) -> Solution:
    """The solution with one step falsified, so that the answer is wrong; the last step where earlier ones would not do it."""
    last: int = len(right.lines) - 1
    for attempt in range(TRIES):
        step: int = chance.pick(f"step{attempt}", last + 1) if attempt < TRIES // 2 else last
        off: int = (1 + chance.pick(f"size{attempt}", 9)) * (1 if chance.draw(f"sign{attempt}") < 0.5 else -1)

        def slip(place: int, value: Number, step: int = step, off: int = off) -> Number:
            return value + off if place == step else value

        try:
            solution: Solution = solve(posed, slip)
        except Unsolvable:
            continue
        if solution.answer != right.answer and solution.answer >= 0:
            return solution
    raise Unsolvable(f"{posed.kind.name}: no slip found")


def _drifted(posed: Posed, chance: _Chance) -> Posed:
    """The problem with one number changed so that it still has a solution, but another one; itself where there is none."""
    right: Number = solve(posed).answer
    names: list[str] = sorted(posed.numbers)
    for attempt in range(TRIES):
        name: str = names[chance.pick(f"which{attempt}", len(names))]
        changed: int = posed.numbers[name] + 1 + chance.pick(f"by{attempt}", 9)
        other = Posed(posed.kind, posed.form, {**posed.numbers, name: changed}, posed.words)
        try:
            if solve(other).answer != right:
                return other
        except Unsolvable:
            continue
    return posed
