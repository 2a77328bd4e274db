"""What the simulated teacher says: it reads the text of the messages, does what they ask with the problem, and is sometimes wrong.

It knows the grammar and nothing else: no id, no seed of a problem and no key reaches it, so it reads texts that it never issued
(other numbers, names, wordings) and admits when it cannot read one or when nobody could answer it.

Tasks    solve (also for an unknown number), put in other words, make a new problem in one of five ways, create-check-finish a similar
         one, make a statement of a question and its answer; told apart by the words and marks of the request
Formula  an event with rate r happens to (text, sample) when hash(event, text, sample) < r: the same request, the same reply
Source   ours; the paper's own teacher was right on half of MATH (Skywork-Math, arXiv 2407.08348, section 3)
Flow     core/llm/simulated.py puts it behind an HTTP server; synthesis talks to that server as to any teacher
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction

import numpy as np

from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.mathqa.records import MARK
from skyloom.mathqa.world import evolving, illposed
from skyloom.mathqa.world.backward import NUMBER, Backward, fill, state
from skyloom.mathqa.world.expressions import Number, Unsolvable, show
from skyloom.mathqa.world.grammar import Open, Posed, Solution, answer, read_open, reword, solve
from skyloom.mathqa.world.understanding import Found, invalid, solution, understand

REWORD: re.Pattern[str] = re.compile(r"\b(other words|reword|rephrase|restate)", re.IGNORECASE)
STRATEGIES: Mapping[str, re.Pattern[str]] = {
    "breadth": re.compile(r"\b(different|brand-new|completely new)\b.{0,20}\bproblem", re.IGNORECASE),
    "constrain": re.compile(r"\b(condition|constraint|requirement)\b", re.IGNORECASE),
    "deepen": re.compile(r"\bdepth\b", re.IGNORECASE),
    "concretise": re.compile(r"\bmore (specific|concrete)\b", re.IGNORECASE),
    "reasoning": re.compile(r"\bmore (reasoning )?steps\b", re.IGNORECASE),
}
MARKED: re.Pattern[str] = re.compile(r"`([^`\n]+)`")
LABEL: re.Pattern[str] = re.compile(r"^([A-Z][A-Za-z ]{0,20}):\s*", re.MULTILINE)
CONFUSED: str = "I am sorry, I cannot make sense of this problem."
NOTHING_WRONG: str = "It asks for one thing and gives its numbers."
UNWILLING: str = "I am sorry, I cannot make a harder problem of this one."
TRIES: int = 20  # slips tried before a problem counts as one that no slip spoils
SLOTS: int = 3  # of a request to create, check and finish
NOTICES: float = 0.25  # of the answers to what has none
WEAK: tuple[str, ...] = ("unchanged", "no_question", "solved", "sorry")


@dataclass(frozen=True, kw_only=True, slots=True)
class Responder:
    """Called with the messages of a chat and the number of the sample; returns the reply's text.

    Raises:
        ValueError: a rate outside 0 to 1.
    """

    wrong: float = 0.0
    """Share of problems whose answer comes out wrong: the teacher's true error rate. Of unsolvable ones, the share that it answers."""
    wrong_per_step: float = 0.0
    """Added to `wrong` for every line of working beyond the first: what makes a problem hard."""
    drift: float = 0.0
    """Share of rewordings and statements that change a number, and with it the problem."""
    careless: float = 0.0
    """Share of replies that break off in the middle, or leave one of several parts out."""
    weak: float = 0.0
    """Share of new problems that are none: the old one, nothing asked, the solution given away, an apology; a quarter each."""
    unsolvable: float = 0.0
    """Share of new problems that keep a number back which the solution needs."""
    missing: float = 0.0
    """Share of new problems that lack a condition: a number kept back, or another question with a relation too few; half each."""
    several: float = 0.0
    """Share of new problems to which several answers fit."""
    contradictory: float = 0.0
    """Share of new problems whose conditions cannot all hold."""
    impossible: float = 0.0
    """Share of new problems that nothing solves: no whole number, less than none."""
    bluff: float = 0.0
    """Share of unsolvable problems, of those not answered by `wrong`, that it answers: three in four with a number that changes from
    draw to draw, one in four with words that say what is amiss and then a number or none, half each."""

    def __post_init__(self) -> None:
        for field in fields(self):
            rate: float = getattr(self, field.name)
            if not 0 <= rate <= 1:
                raise ValueError(f"{field.name}={rate} must lie within 0 and 1")
        if (whole := sum(getattr(self, name) for name in illposed.RATES)) > 1:
            raise ValueError(f"{' + '.join(illposed.RATES)} = {whole} must be at most 1")

    def __call__(self, messages: Sequence[Message], sample: int = 0) -> str:
        """The reply to a chat: to its last question."""
        asked: str = next((message.content for message in reversed(messages) if message.role == "user"), "")
        chance = _Chance(asked, sample)
        try:
            reply: str = self._reply(asked, chance)
        except Unsolvable as error:
            return f"{CONFUSED} ({error})" if error.args else CONFUSED
        return _spoilt(asked, reply, chance) if chance.happens("careless", self.careless) else reply

    def _reply(self, asked: str, chance: "_Chance") -> str:
        task: str = _task(asked)
        opening: list[str] = [mark for mark in MARKED.findall(task) if mark.endswith(":")]
        if any("statement" in mark.lower() for mark in opening):
            return _obey(asked, self._stated(asked, chance))
        found: Found | None = find_problem(asked)
        if found is None:
            raise Unsolvable
        if isinstance(found, Open):
            if opening:
                raise Unsolvable("a number is missing")
            return _obey(asked, self._solved(found, chance))
        if len(opening) >= SLOTS:
            return self._created(asked, opening, found, chance)
        strategy: str | None = next((name for name, words in STRATEGIES.items() if words.search(task)), None)
        if opening and strategy is not None:
            new: str | None = self._evolved(found, lambda rng: _made(found, strategy, rng), chance)
            return UNWILLING if new is None else _obey(asked, new)
        return _obey(asked, (self._reworded if REWORD.search(task) else self._solved)(found, chance))

    def _solved(self, found: Found, chance: "_Chance") -> str:
        try:
            right: Solution = solution(found)
        except Unsolvable:
            if chance.happens("wrong", self.wrong):
                return _guessed(found, chance).text
            if chance.happens("bluff", self.bluff):
                return _bluffed(found, chance)
            raise
        assert not isinstance(found, Open)
        if not chance.happens("wrong", self.wrong + self.wrong_per_step * (len(right.lines) - 1)):
            return right.text
        return (_slipped(found, right, chance) if isinstance(found, Posed) else _misfit(found, right, chance)).text

    def _reworded(self, found: Posed | Backward, chance: "_Chance") -> str:
        drifts: bool = chance.happens("drift", self.drift)
        if isinstance(found, Posed):
            return _other_words(_drifted(found, chance) if drifts else found, chance).text
        if found.open.constant is not None:
            raise Unsolvable("no other words say this")
        told: Backward = _told_otherwise(found, chance) if drifts else found
        return replace(told, open=told.open._replace(posed=_other_words(told.open.posed, chance))).text

    def _stated(self, asked: str, chance: "_Chance") -> str:
        """A question and its answer as a statement, with whatever follows the question in the problem."""
        parts: Mapping[str, str] = _parts(asked)
        told: re.Match[str] | None = NUMBER.search(parts.get("answer", ""))
        question: str = parts.get("question", "")
        whole: str = parts.get("problem", question)
        if told is None or question not in whole or not question:
            raise Unsolvable
        said: str = told[0]
        hidden: Open | None = read_open(whole)
        if hidden is not None and chance.happens("drift", self.drift):
            backward = Backward(hidden, Fraction(said), stated=True, before="", after="")
            said = show(_told_otherwise(backward, chance).told)
        return state(whole[whole.index(question) :], said)

    def _evolved(
        self, found: Posed | Backward, make: Callable[[np.random.Generator], Posed | Backward], chance: "_Chance"
    ) -> str | None:
        """A new problem in words; None where the teacher would rather not."""
        rng: np.random.Generator = stream(0, "mathqa.world.teacher", chance.sample, chance.text)
        new: Posed | Backward = make(rng)
        weakness: str = WEAK[chance.pick("weakness", len(WEAK))] if chance.happens("weak", self.weak) else ""
        if weakness == "sorry":
            return None
        if weakness == "unchanged":
            return found.text
        if weakness == "solved":
            return f"{new.text}\n{solution(new).text}"
        if weakness == "no_question":
            return f"This is about the numbers {' and '.join(evolving.DIGITS.findall(new.text))}."
        posed: Posed = new if isinstance(new, Posed) else new.fitting
        reason: str | None = self._reason(chance)
        if reason is not None:
            return illposed.planted(posed, reason, rng)
        hollow: str | None = evolving.hollow(posed, rng) if chance.happens("unsolvable", self.unsolvable) else None
        return new.text if hollow is None else hollow

    def _reason(self, chance: "_Chance") -> str | None:
        """Why the new problem is none, where it is none."""
        at: float = chance.draw("reason")
        for name, reason in illposed.RATES.items():
            if (at := at - getattr(self, name)) < 0:
                return reason
        return None

    def _created(self, asked: str, opening: Sequence[str], found: Posed | Backward, chance: "_Chance") -> str:
        """A similar problem, its check, and the problem again."""
        new: str | None = self._evolved(found, lambda rng: _made(found, "similar", rng), chance)
        if new is None:
            return UNWILLING
        read_again: Found | None = understand(new)
        try:
            check: str = "\n".join(solution(read_again).lines) if read_again is not None else NOTHING_WRONG
        except Unsolvable:
            check = NOTHING_WRONG
        said: list[str] = [f"{mark} {text}" for mark, text in zip(opening, (new, check, new), strict=False)]
        closing: str = _closing(asked)
        return "\n".join([*said, *([closing] if closing else [])])


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

    def off(self, attempt: int) -> int:
        """How far a number is off at this attempt: 1 to 9, up or down."""
        return (1 + self.pick(f"size{attempt}", 9)) * (1 if self.draw(f"sign{attempt}") < 0.5 else -1)


def find_problem(asked: str) -> Found | None:
    """The problem in a request: the text behind its last label (`Problem:`), else any paragraph, else the whole."""
    labels: list[re.Match[str]] = list(LABEL.finditer(asked))
    behind: list[str] = [asked[label.end() :] for label in reversed(labels)]
    paragraphs: list[str] = [LABEL.sub("", each, count=1) for each in reversed(asked.split("\n\n"))]
    return next((found for text in (*behind, *paragraphs, asked) if (found := understand(text)) is not None), None)


def _task(asked: str) -> str:
    """The request without the problem that stands behind its last label."""
    labels: list[re.Match[str]] = list(LABEL.finditer(asked))
    return asked[: labels[-1].start()] if labels else asked


def _parts(asked: str) -> Mapping[str, str]:
    """What stands behind each label, by the label in lower case."""
    labels: list[re.Match[str]] = list(LABEL.finditer(asked))
    ends: list[int] = [label.start() for label in labels[1:]] + [len(asked)]
    return {label[1].lower(): asked[label.end() : end].strip() for label, end in zip(labels, ends, strict=True)}


def _obey(asked: str, body: str) -> str:
    """Wrap the reply in the marks that the request names in backticks: opening marks end in a colon, the last one closes."""
    opening: str = next((f"{mark} " for mark in MARKED.findall(_task(asked)) if mark.endswith(":")), "")
    closing: str = _closing(asked)
    return f"{opening}{body}\n{closing}" if closing else f"{opening}{body}"


def _closing(asked: str) -> str:
    marks: list[str] = MARKED.findall(_task(asked))
    return marks[-1] if marks and not marks[-1].endswith(":") and marks[-1] != MARK.strip() else ""


def _spoilt(asked: str, reply: str, chance: _Chance) -> str:
    """The reply broken off in the middle; half of those in several parts lack a part instead."""
    starts: list[int] = [reply.find(mark) for mark in MARKED.findall(_task(asked)) if mark.endswith(":")]
    if len(starts) >= SLOTS and min(starts) >= 0 and chance.draw("left out") < 0.5:
        part: int = chance.pick("part", len(starts))
        return reply[: starts[part]] + reply[[*starts, reply.rfind(_closing(asked))][part + 1] :]
    return reply[: max(1, int(len(reply) * chance.draw("cut")))]


def _made(found: Posed | Backward, strategy: str, rng: np.random.Generator) -> Posed | Backward:
    """A new problem by a strategy; a backward question is deepened by deepening the problem in it."""
    if strategy in ("breadth", "similar"):
        posed: Posed = found if isinstance(found, Posed) else found.fitting
        return (evolving.another if strategy == "breadth" else evolving.similar)(posed, rng)
    if strategy == "concretise":
        if isinstance(found, Posed):
            return evolving.specific(found, rng)
        if found.open.constant is not None:
            raise Unsolvable("no other words say this")
        return replace(found, open=found.open._replace(posed=evolving.specific(found.open.posed, rng)))
    lines: tuple[int, ...] = evolving.EXTRA[strategy]
    return (
        evolving.deeper(found, lines, rng) if isinstance(found, Posed) else evolving.deeper_backward(found, lines, rng)
    )


def _other_words(posed: Posed, chance: _Chance) -> Posed:
    other: int = evolving.other_form(posed, chance.pick("form", len(posed.kind.forms) - 1))
    told: Posed = reword(posed, other, chance.pick("words", 1_000))
    steps = (
        reword(step, evolving.other_form(step, chance.pick(f"form{i}", 1_000)), chance.pick(f"words{i}", 1_000))
        for i, step in enumerate(posed.then)
    )
    return replace(told, then=tuple(steps))


def _slipped(posed: Posed, right: Solution, chance: _Chance) -> Solution:
    """The solution with one step falsified, so that the answer is wrong; the last step where earlier ones would not do it."""
    last: int = len(right.lines) - 1
    for attempt in range(TRIES):
        step: int = chance.pick(f"step{attempt}", last + 1) if attempt < TRIES // 2 else last
        off: int = chance.off(attempt)

        def slip(place: int, value: Number, step: int = step, off: int = off) -> Number:
            return value + off if place == step else value

        try:
            falsified: Solution = solve(posed, slip)
        except Unsolvable:
            continue
        if falsified.answer != right.answer and falsified.answer >= 0:
            return falsified
    raise Unsolvable(f"{posed.kind.name}: no slip found")


def _misfit(found: Backward, right: Solution, chance: _Chance) -> Solution:
    """Another value for the unknown; the last line of working claims that it fits."""
    told: str = show(found.told)
    guess: Number = right.answer + 1
    for attempt in range(TRIES):
        if (guess := right.answer + chance.off(attempt)) <= 0:
            guess = right.answer + 1
            continue
        try:
            *lines, last = solve(found.filled(guess)).lines
        except Unsolvable:
            continue
        return Solution((f"{found.open.letter}={show(guess)}", *lines, f"{last.rpartition('=')[0]}={told}"), guess)
    return Solution((f"{found.open.letter}={show(guess)}",), guess)


def _bluffed(found: Found, chance: _Chance) -> str:
    """An answer to what has none, or words that say so."""
    guess: Solution = _guessed(found, chance)
    if not chance.happens("notices", NOTICES):
        return guess.text
    says: illposed.Sayings = illposed.sayings()[invalid(found)]
    line: str = says.lines[chance.pick("line", len(says.lines))]
    told: str = says.answers[chance.pick("told", len(says.answers))]
    return f"{line}\n{guess.text if chance.draw('all the same') < 0.5 else MARK + told}"


def _guessed(found: Found, chance: _Chance) -> Solution:
    """An answer to what has none: with a number of its own where one is missing, past all conditions where they do not hold, one of
    several where the question is no problem."""
    if isinstance(found, Posed) and found.kind.invalid:
        found = illposed.pretended(found, chance.pick("answer", len(found.kind.answers)))
    for attempt in range(TRIES):
        guess: int = 1 + chance.pick(f"guess{attempt}", 20)
        if isinstance(found, Backward):
            value: Number = found.fits[0] if found.fits else guess
            return Solution((f"{found.open.letter}={show(value)}",), value)
        try:
            return solve(fill(found.posed if isinstance(found, Open) else found, guess), lambda _, value: value)
        except Unsolvable:
            continue
    raise Unsolvable("no guess leads anywhere")


def _drifted(posed: Posed, chance: _Chance) -> Posed:
    """The problem with one number changed so that it still has a solution, but another one; itself where there is none."""
    right: Number = answer(posed)
    names: list[str] = sorted(posed.numbers)
    for attempt in range(TRIES):
        name: str = names[chance.pick(f"which{attempt}", len(names))]
        changed: int = posed.numbers[name] + 1 + chance.pick(f"by{attempt}", 9)
        other: Posed = replace(posed, numbers={**posed.numbers, name: changed})
        try:
            if answer(other) != right:
                return other
        except Unsolvable:
            continue
    return posed


def _told_otherwise(found: Backward, chance: _Chance) -> Backward:
    """The question with another answer told, for which another value fits; itself where there is none."""
    value: Number = found.value
    for attempt in range(TRIES):
        try:
            told = replace(found, told=answer(found.filled(value + 1 + chance.pick(f"by{attempt}", 9))))
            if told.value != value:
                return told
        except Unsolvable:
            continue
    return found
