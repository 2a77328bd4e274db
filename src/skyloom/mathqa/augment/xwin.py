"""Xwin: in one call the teacher drafts a problem like the seed, checks the draft by solving it, and states the problem as it then stands.

Source   question generation of Xwin-Math (Li et al. 2024, arXiv 2403.04706); one of the three families of Skywork-Math (arXiv
         2407.08348, section 3.1). Texts are ours; the answer need not be a number, so that MATH can be a seed
Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report; 1 + answers calls a row, the first one long
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator xwin ...
Limits   A new question has no known answer: with `answers` above 1 its rows vote. The check is the teacher's own: what it calls
         impossible is refused, what it wrongly passes is not.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from skyloom.mathqa.elimination import DEFAULT, Limits, kept, whole
from skyloom.mathqa.operators import (
    ANSWER,
    AugmentConfig,
    Call,
    Draft,
    Example,
    Job,
    Program,
    Recorded,
    Refused,
    Slots,
    messages,
)
from skyloom.mathqa.records import Problem

VERSION: int = 1
TEMPLATE: Path = Path(__file__).with_suffix(".toml")
HEADS: dict[str, str] = {"draft": "Draft problem:", "check": "Check:", "final": "Final problem:"}
_IMPOSSIBLE = re.compile(
    r"(?<!not )\bimpossible\b|\bunsolvable\b|\b(?:cannot|can['’]t|can not) be (?:solved|answered|determined)\b"
    r"|\bno (?:valid |definite |unique )?(?:solution|answer)\b|\b(?:contradictory|inconsistent)\b",
    re.I,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AugmentConfig):
    """Answers, and what counts as a failure."""

    answers: int = 1
    """Solutions asked for each new question; each that can be read is a row of its own, and they vote."""
    limits: Limits = field(default_factory=Limits)
    """Thresholds of the eliminator."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        AugmentConfig.__post_init__(self)
        if self.answers < 1:
            raise ValueError(f"answers={self.answers} must be at least 1")


def created(reply: str, slots: Slots, *, limits: Limits) -> Slots:
    """`draft`, `check` and `final`; refuses sorry, unclosed, empty, no_draft, no_check, no_final, impossible (the check ends there) and
    every fault that the eliminator finds in the final problem."""
    rest: str = whole(reply, limits)
    ends: list[re.Match[str]] = []
    for slot, head in HEADS.items():
        # At the start of a line, in plain or bold type or as a heading.
        place: re.Match[str] | None = re.compile(rf"^[#* ]*{re.escape(head)}[* ]*", re.M).search(
            rest, ends[-1].end() if ends else 0
        )
        if place is None:
            raise Refused(f"no_{slot}")
        ends.append(place)
    stops: list[int] = [*(place.start() for place in ends[1:]), len(rest)]
    found: dict[str, str] = {
        slot: rest[place.end() : stop].strip() for slot, place, stop in zip(HEADS, ends, stops, strict=True)
    }
    if not all(found.values()):
        raise Refused("empty")
    if _IMPOSSIBLE.search(re.split(r"(?<=[.!?])\s+|\n+", found["check"])[-1]):
        raise Refused("impossible")
    kept(found["final"], slots["question"], _instructions(), limits)
    return found


@lru_cache(maxsize=1)
def _instructions() -> str:
    return "\n".join(each.content for each in messages(TEMPLATE, "xwin", {}))


@lru_cache(maxsize=64)
def create(limits: Limits = DEFAULT) -> Call:
    """The call: the same object for the same limits."""
    return Call("xwin", TEMPLATE, tuple(HEADS), partial(created, limits=limits))


CALLS: tuple[Call, ...] = (create(DEFAULT), ANSWER)


def calls(config: Config) -> int:
    """Calls of a job."""
    return 1 + config.answers


def drafts(config: Config) -> int:
    """Most rows of a job."""
    return config.answers


def make(job: Job, config: Config) -> Program:
    """The final problem with the teacher's solutions; the teacher sees neither draft nor check when it solves."""
    found = yield create(config.limits)(question=job.problem.question)
    for draw in range(config.answers):
        try:
            solved = yield ANSWER(draw, question=found["final"])
        except Refused:
            continue
        yield Draft(found["final"], solved["response"], solved["answer"], gold=None)


_SEED: Slots = {"question": "Tom has 3 apples and buys 4 more. How many apples does Tom have?"}
_DRAFT: str = "Ida owns 9 stamps and gives some to Omar. How many stamps are left?"
_CHECK: str = (
    "9 minus an unknown number: the problem does not say how many she gives away.\nState that she gives away 5 stamps."
)
_FINAL: str = "Ida owns 9 stamps and gives 5 of them to Omar. How many stamps are left?"


def _says(final: str = _FINAL, check: str = _CHECK, draft: str = _DRAFT) -> str:
    return f"Draft problem: {draft}\nCheck: {check}\nFinal problem: {final}\n[end]"


def _refuses(reason: str, reply: str) -> Recorded:
    return Recorded(create(), reply, reason, _SEED)


EXAMPLE: Example = Example(
    problem=Problem(
        question=_SEED["question"], answer="7", solution="3+4=7\nThe answer is 7", level=1, subject="Arithmetic"
    ),
    config=Config(),
    replies=(_says(), "9-5=4\nThe answer is 4\n[end]"),
    drafts=(Draft(_FINAL, "9-5=4\nThe answer is 4", "4", gold=None),),
    recorded=(
        Recorded(create(), _says(), {"draft": _DRAFT, "check": _CHECK, "final": _FINAL}, _SEED),
        Recorded(
            create(),
            f"**Draft problem:**\n{_FINAL}\n\n**Check:**\n9-5=4. It passes.\n\n**Final problem:**\n{_FINAL}\n[end]",
            {"draft": _FINAL, "check": "9-5=4. It passes.", "final": _FINAL},
            _SEED,
        ),
        _refuses("unclosed", _says().removesuffix("[end]")),
        _refuses("empty", "  "),
        _refuses("empty", _says(check="")),
        _refuses("sorry", "I am sorry, I cannot make sense of this problem."),
        _refuses("no_draft", f"Check: {_CHECK}\nFinal problem: {_FINAL}\n[end]"),
        _refuses("no_check", f"Draft problem: {_DRAFT}\nFinal problem: {_FINAL}\n[end]"),
        _refuses("no_final", f"Draft problem: {_DRAFT}\nCheck: {_CHECK}\n[end]"),
        _refuses("impossible", _says(check="She gives away 12 of 9 stamps. So this is impossible.")),
        _refuses("same_as_parent", _says(final=_SEED["question"].lower())),
        _refuses("no_gain", _says(final=_SEED["question"].replace("3", "5"))),
        _refuses("near_parent", _says(final=_SEED["question"].replace("apples", "pears"))),
        _refuses("only_stop_words", _says(final="Is it so?")),
        _refuses("copies_prompt", _says(final=f"{_FINAL}\nThis is the final problem.")),
        _refuses("copies_prompt", _says(final=f"It can be understood by itself and gives every number. {_FINAL}")),
        _refuses("no_question", _says(final="Ida owns 9 stamps and gives 5 of them to Omar.")),
        _refuses("several_questions", _says(final=f"{_FINAL} Find the number of stamps that Omar has.")),
        _refuses("solved", _says(final=f"{_FINAL}\nAnswer: 4")),
        _refuses(
            "broken_latex", _says(final=r"Ida owns $\frac{9}{2$ kilos of rice and eats one. How many kilos are left?")
        ),
        _refuses(
            "too_long", _says(final="Ida counts her 9 stamps once more before she goes home. " * 12 + "How many?")
        ),
    ),
)
