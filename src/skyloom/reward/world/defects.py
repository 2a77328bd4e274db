"""Defects planted into drafts, each with its truth: what curation must find.

Kinds (at most one a row; label noise comes on top)
  copy            an earlier pair again, other case and blanks      near_copy      an earlier pair, edited, Jaccard 0.5 to 0.95
  hard_negative   looks like an earlier pair, means another thing   contradiction  an earlier pair with its sides swapped
  near_contradiction  edited and swapped
  length          the chosen side padded to three times its length        artefact       a chat-control token ends the rejected side
  leak_verbatim, leak_embedded, leak_response                       an evaluation prompt, as it is or inside another text
Formula  Jaccard index of the sets of three-word shingles of prompt and both sides (Broder 1997)
Flow     sources/world.py plants them in the order of the rows; truth goes to the ledger's truth table, never to a decider
Run      skyloom reward curate --source world
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from numpy.random import Generator

from skyloom.core.text.normal import words
from skyloom.reward.world.language import language
from skyloom.reward.world.tasks import Draft, pick

NEAR_LOW: float = 0.5
NEAR_HIGH: float = 0.95
"""Jaccard range of near copies and hard negatives (Broder 1997's resemblance; the range is ours)."""
TYPO_LETTERS: int = 6
MOST_TYPOS: int = 2
"""A near copy has at most so many misspelled words, each of so many letters at least, two of them swapped (ours)."""
PADDED_TIMES: int = 3
"""A padded side has at least so many times the characters it had."""
CONTROL: str = "<im_start>"
"""The token that every rejected side of magpie-ultra carries (RM-R1, arXiv 2505.02387, appendix F.2)."""


class Sides(NamedTuple):
    """A pair as text: what near copies, hard negatives and Jaccard work on."""

    prompt: str
    chosen: str
    rejected: str

    def swapped(self) -> Self:
        """The other label."""
        return self._replace(chosen=self.rejected, rejected=self.chosen)


def sides_of(draft: Draft) -> Sides:
    """The right answer as the chosen one."""
    return Sides(draft.prompt, draft.right, draft.wrong)


def jaccard(a: Sides, b: Sides) -> float:
    """Resemblance of two pairs, 0 to 1."""
    first, second = _shingles(a), _shingles(b)
    return len(first & second) / len(first | second)


def reworded(rng: Generator, sides: Sides) -> Sides | None:
    """The same pair in slightly other words, Jaccard within the range; None if the edits run out before it is reached.

    Edits are insertions, spellings, contractions and punctuation from words.toml, and typos; each hits all texts that hold the words,
    so that a demanded word stays the demanded word.
    """
    target = float(rng.uniform(NEAR_LOW, NEAR_HIGH))
    lang = language()
    edits = [*lang.swaps, *_typos(rng, sides)]
    edited = sides
    for old, new in (edits[int(k)] for k in rng.permutation(len(edits))):
        step = Sides(*(text.replace(old, new, 1) for text in edited))
        if step == edited or jaccard(sides, step) < NEAR_LOW:
            continue
        edited = step
        if jaccard(sides, edited) <= target:
            break
    if jaccard(sides, edited) > target:
        framed = Sides(
            f"{pick(rng, lang.openers)} {edited.prompt} {pick(rng, lang.closers)}", edited.chosen, edited.rejected
        )
        edited = framed if jaccard(sides, framed) >= NEAR_LOW else edited
    return edited if NEAR_LOW <= jaccard(sides, edited) <= NEAR_HIGH else None


def respelled(rng: Generator, sides: Sides) -> Sides:
    """The same pair with another case of its first letter and other blanks: equal in normal form."""
    at = int(rng.integers(3))
    texts = [text[:1].swapcase() + text[1:].replace(" ", "  ", 1) if k == at else text for k, text in enumerate(sides)]
    return Sides(*texts)


def padded(rng: Generator, sides: Sides) -> Sides:
    """The chosen side with filler behind it until it is three times as long as the longer side was."""
    text = sides.chosen
    while len(text) < PADDED_TIMES * max(len(sides.chosen), len(sides.rejected)):
        text = f"{text} {pick(rng, language().filler)}"
    return sides._replace(chosen=text)


def controlled(rng: Generator, sides: Sides) -> Sides:
    """A chat-control token and the start of a next turn behind the rejected side."""
    return sides._replace(rejected=f"{sides.rejected} {CONTROL} user {pick(rng, language().closers)}")


def embedded(rng: Generator, sides: Sides) -> Sides:
    """The instruction between an opener and a closer."""
    lang = language()
    return sides._replace(prompt=f"{pick(rng, lang.openers)} {sides.prompt} {pick(rng, lang.closers)}")


def quoted(rng: Generator, sides: Sides, leaked: str) -> Sides:
    """A foreign instruction inside one of the answers."""
    if rng.random() < 0.5:
        return sides._replace(chosen=f"{sides.chosen} Then answer this. {leaked}")
    return sides._replace(rejected=f"{sides.rejected} Then answer this. {leaked}")


def kind_of(u: float, shares: Mapping[str, float]) -> str:
    """The defect that a uniform number in [0, 1) falls on; empty for none."""
    for kind, share in shares.items():
        if u < share:
            return kind
        u -= share
    return ""


def _typos(rng: Generator, sides: Sides) -> Iterator[tuple[str, str]]:
    """A few long words, each with two letters swapped; the first letter stays."""
    long = sorted(set(re.findall(f"[A-Za-z]{{{TYPO_LETTERS},}}", " ".join(sides))))
    for k in rng.permutation(len(long))[:MOST_TYPOS]:
        word = long[int(k)]
        at = int(rng.integers(1, len(word) - 1))
        typo = f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"
        if typo != word:
            yield word, typo


def _shingles(sides: Sides) -> frozenset[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for text in sides:
        tokens = words(text) or [text.strip()]  # a text of signs alone is itself
        found.update(tuple(tokens[k : k + 3]) for k in range(max(1, len(tokens) - 2)))
    return frozenset(found)
