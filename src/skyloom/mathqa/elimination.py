"""The eliminator: why a question that a teacher made from another one is not kept, from the two texts alone.

Rules    sorry, only_stop_words, copies_prompt, solved, no_question, several_questions, same_as_parent, no_gain, near_parent, too_long,
         broken_latex, in this order; the first that holds is the reason. What the parent has too (two questions, a quoted phrase) is
         not held against the new one, broken LaTeX apart
Source   the four failures of Evol-Instruct (Xu et al. 2023, arXiv 2304.12244: no information gain, sorry, only stop words, prompt
         words); the mathematical ones and all thresholds are ours
Flow     under augment/evol and augment/xwin in synthesis
Run      python -c "from skyloom.mathqa.elimination import fault; print(fault('solve x + 3 = 7, for x', 'Solve x + 3 = 7 for x.'))"
Limits   Rules over words: a paraphrase with three new words counts as new, a question that cannot be solved as well. English cues;
         a text without them passes where its parent has none either. Normal forms drop brackets: (a+b)c is a+bc.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from skyloom.core.config import Config
from skyloom.core.text.normal import MASK, SPELLED, words
from skyloom.mathqa.kinds import unbalanced
from skyloom.mathqa.operators import Refused, behind, closed


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits(Config):
    """Thresholds, all ours."""

    gain: int = 3
    """A question with its parent's numbers has to add so many words, or it is `near_parent`."""
    growth: float = 2.0
    """Most words, as a multiple of the parent's ..."""
    slack: int = 40
    """... and so many on top: prompts ask for 10 to 20 more, short parents take more."""
    copied: int = 8
    """Words in a row of the prompt that make a question `copies_prompt`."""
    apology: int = 80
    """Only a text of fewer words can be an apology; a story may hold one (80 as in Evol-Instruct's published rule)."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a limit that every or no question breaks."""
        for name in ("gain", "copied", "apology"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not self.growth >= 1:
            raise ValueError(f"growth={self.growth} must be at least 1")
        if self.slack < 0:
            raise ValueError(f"slack={self.slack} must be 0 or more")


DEFAULT: Limits = Limits()

_SORRY = re.compile(
    r"^\W*sorry\b|\b(?:i|we)(?:['’]m| am|['’]re| are) (?:\w+ ){0,2}(?:sorry|unable|afraid)\b|\bi apologi[sz]e\b|\bas an ai\b"
    r"|\bi (?:cannot|can['’]?t|can not|could not|couldn['’]t) (?:\w+ )?(?:help|assist|make|create|provide|write|rewrite|solve|comply)\b",
    re.I,
)
_STOP_WORDS = """
a an and any are as at be been but by can do does for from had has have he her his i if in into is it its me my no not of ok okay on
or our she so sure than that the their them then there these they this those to up us was we were will with would yes you your
"""
_STOP: frozenset[str] = frozenset(_STOP_WORDS.split())
_PROMPT = re.compile(
    r"\b(?:given|original|new|rewritten|previous|created|draft|final|seed|harder) (?:maths? |mathematics )?(?:problem|prompt)\b"
    r"|\bproblem (?:above|below)\b|\[end\]",
    re.I,
)
_SOLVED = re.compile(
    r"\bthe (?:final |correct )?answer is\b|\\boxed\b|####|^\W*(?:solution|(?:final )?answer|explanation|step 1)\W*[:.]",
    re.I | re.M,
)
_ASKS = re.compile(
    r"[?？]|_{2,}|\(A\)|\b(?:what|how|which|who|whom|whose|why|where|find|solve|compute|calculate|determine|evaluate|simplify|express|write|rewrite"
    r"|factor|factori[sz]e|expand|prove|show|give|state|estimate|convert|graph|sketch|identify|choose|rationali[sz]e|complete"
    r"|round|arrange|order|list|name|count|approximate|put|enter|reduce|add|subtract|multiply|divide|verify|describe)\b",
    re.I,
)
_SENTENCE = re.compile(r"(?<=[.?!？])[\s\"'’”)]+|\n+")
_COMMAND = re.compile(
    r"\W*(?:\(?[a-h1-9][.)]\W*)?(?:(?:and|also|then|next|finally|additionally|furthermore)\W+){0,2}"
    r"(?:find|compute|calculate|determine|evaluate)\b",
    re.I,
)
_SECOND = re.compile(
    r"\b(?:and|also),? (?:(?:also|then|find|compute|calculate|determine) )?"
    r"(?:how (?:many|much|long|far|old|often)|what (?:is|are|was|were|will))\b",
    re.I,
)


def fault(new: str, parent: str, prompt: str = "", limits: Limits = DEFAULT) -> str | None:
    """The first reason for which a question made from `parent` is not kept, or None; `prompt`: what was sent without the problem."""
    said, had = words(new), words(parent)
    added = Counter(said) - Counter(had)
    copied = _prompt_runs(prompt, limits.copied) & _runs(said, limits.copied) - _runs(had, limits.copied)
    checks = (
        ("sorry", len(said) < limits.apology and apologises(new)),
        ("only_stop_words", _STOP.issuperset(said)),
        ("copies_prompt", bool(copied) or _beyond(_PROMPT, new, parent)),
        ("solved", _beyond(_SOLVED, new, parent)),
        ("no_question", not _ASKS.search(new) and _ASKS.search(parent) is not None),
        ("several_questions", questions(new) > max(1, questions(parent))),
        ("same_as_parent", said == had),
        ("no_gain", not added or _masked(said) == _masked(had)),
        ("near_parent", added.total() < limits.gain and _numbers(said) == _numbers(had)),
        ("too_long", len(said) > limits.growth * len(had) + limits.slack),
        ("broken_latex", unbalanced(new) is not None),
    )
    return next((reason for reason, holds in checks if holds), None)


def kept(new: str, parent: str, prompt: str, limits: Limits) -> str:
    """The new question; raises Refused with its fault."""
    reason = fault(new, parent, prompt, limits)
    if reason is not None:
        raise Refused(reason)
    return new


def whole(reply: str, limits: Limits) -> str:
    """The reply up to its closing mark; refuses sorry, empty and unclosed."""
    if len(words(reply)) < limits.apology and apologises(reply):
        raise Refused("sorry")
    return closed(reply)


def marked(text: str, mark: str) -> str:
    """What stands behind an opening mark, without the stars of bold type; refuses no_mark and empty."""
    found = behind(text, mark).removeprefix("**").strip()
    if not found:
        raise Refused("empty")
    return found


def apologises(text: str) -> bool:
    """Whether somebody says that it cannot be done."""
    return _SORRY.search(text) is not None


def questions(text: str) -> int:
    """Sentences that ask (a question mark, or Find, Compute, ... at their head), and questions joined by `and how many`."""
    sentences = [each for each in _SENTENCE.split(text) if each.strip()]
    asking = sum(
        each.rstrip("\"'’”)* ").endswith(("?", "？")) or _COMMAND.match(each) is not None for each in sentences
    )
    return asking + len(_SECOND.findall(text))


def _beyond(pattern: re.Pattern[str], new: str, parent: str) -> bool:
    return len(pattern.findall(new)) > len(pattern.findall(parent))


@lru_cache(maxsize=64)
def _prompt_runs(prompt: str, length: int) -> frozenset[tuple[str, ...]]:
    return frozenset(_runs(words(prompt), length))


def _runs(said: Sequence[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(said[i : i + length]) for i in range(len(said) - length + 1)}


def _is_number(word: str) -> bool:
    return word in SPELLED or word[0].isdecimal()


def _masked(said: Sequence[str]) -> list[str]:
    return [MASK if _is_number(word) else word for word in said]


def _numbers(said: Sequence[str]) -> Counter[str]:
    return Counter(filter(_is_number, said))
