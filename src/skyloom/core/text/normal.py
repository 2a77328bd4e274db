"""Normal forms of text: what stays of a text when case, white space and punctuation are taken away.

Formula  NFKC and case folding, format characters (zero width, soft hyphen) removed; then words: numbers (without
         thousands commas), letter runs, single CJK or Thai characters, and the operators + - * / = < > ^ %
Source   Unicode TR15 (NFKC), TR44 (case folding); the word rule is ours
Flow     collect -> [curate: contamination and duplicates] -> train; reward and mathqa both compare texts by these words
Run      words("A dog's 1,000 toys") == ["a", "dog's", "1000", "toys"]
Limits   A LaTeX command is the word of its letters; brackets are dropped, so (a+b)c and a+bc share one normal form.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

# Scripts written without blanks: one character is one word, or a whole sentence would be one.
CJK = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
LETTER = rf"[^\W\d_{CJK}]"
# A hyphen inside "well-known" is no minus; one beside a blank, a digit or a single letter is.
SIGNS = "[+*/=<>^%]"
WORD_TEMPLATE = rf"L+(?:'L+)*|\d+(?:[.,]\d+)*|{SIGNS}|(?<!LL)-|-(?!LL)"
WORD = re.compile(rf"[{CJK}]|{WORD_TEMPLATE.replace('L', LETTER)}")
ASCII_WORD = re.compile(WORD_TEMPLATE.replace("L", "[a-z]"))  # the same rule for lower-case ASCII, in half the time
THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
UNUSUAL = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+")
# Marks and conjoining jamo that NFKC may melt into the character before them.
MARKS = r"[\u0300-\u036f\u1160-\u11ff\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f]"
CLUSTER = re.compile(f".{MARKS}*", re.S)
# Signs that people write in several ways and that NFKC leaves alone.
TWINS = str.maketrans("’‘ʼ−‐‑×÷⁄∕⋅·", "'''---*//" + "/**")
SPELLED_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion
"""
SPELLED: frozenset[str] = frozenset(SPELLED_NUMBERS.split())
MASK = "#"


class Span(NamedTuple):
    """Where a word stands in the text as it was given: half-open character offsets."""

    start: int
    stop: int


def words(text: str, *, masked: bool = False) -> list[str]:
    """The words of a text in order; with `masked`, every number in digits or spelled is MASK."""
    found = (ASCII_WORD if text.isascii() else WORD).findall(fold(text))
    if masked:
        return [MASK if word in SPELLED or word[0].isdecimal() else word for word in found]
    return [word.replace(",", "") if "," in word and THOUSANDS.fullmatch(word) else word for word in found]


def spans(text: str) -> list[Span]:
    """The place of every word of `words(text)`, in the same order."""
    folded = fold(text)
    if text.isascii():
        return [Span(*match.span()) for match in ASCII_WORD.finditer(folded)]
    offsets = _offsets(text)
    # A cluster folds to no character, one, or several ("1/2"): the end is where the next cluster starts.
    return [
        Span(offsets[match.start()], max(offsets[match.end()], offsets[match.end() - 1] + 1))
        for match in WORD.finditer(folded)
    ]


def normal(text: str, *, masked: bool = False) -> str:
    """The words joined by one blank: equal for texts that differ in case, white space or punctuation only."""
    return " ".join(words(text, masked=masked))


def fold(text: str) -> str:
    """The text after folding, before it is cut into words."""
    if text.isascii():
        return text.lower()
    return UNUSUAL.sub(lambda run: "".join(map(fold_cluster, CLUSTER.findall(run[0]))), text).lower()


def _offsets(text: str) -> list[int]:
    """For each character of `fold(text)`, the offset of the cluster it came from; last, the length of the text."""
    offsets: list[int] = []
    done = 0
    for run in UNUSUAL.finditer(text):
        offsets += range(done, run.start())
        for cluster in CLUSTER.finditer(run[0]):
            offsets += [run.start() + cluster.start()] * len(fold_cluster(cluster[0]))
        done = run.end()
    return [*offsets, *range(done, len(text) + 1)]


@lru_cache(maxsize=1 << 16)
def fold_cluster(cluster: str) -> str:
    """A character and the marks that stand on it, folded."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", cluster.translate(TWINS)).casefold())
    return "".join(mark for mark in folded.translate(TWINS) if unicodedata.category(mark) != "Cf").lower()
