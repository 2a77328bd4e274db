"""What each character becomes and what kind it then is, for compiled loops: 32 bits a code point, filled page by page.

Unicode has 1.1 million code points and a corpus uses a few hundred, so a page of 256 is worked out in Python when a loop first
meets it. A character that becomes several ("½": 1, /, 2), or none, points into a list.

Flow     under core.text.cutting (words) and digests (whole texts)
Run      WORDS.learn(ord("é")) fills the page that holds it
Shapes   C code points, L entries of the list of long folds: their number, then each
"""

import re
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.core.text import normal
from skyloom.core.text.kernels import (
    CJK,
    CJK_DIGIT,
    DIGIT,
    KIND_SHIFT,
    LETTER,
    LONG,
    MARKED,
    MINUS,
    OTHER,
    SIGN,
    SPACE,
    UNKNOWN,
)

PAGE: int = 256
_CODES: int = 0x110000
LONGEST: int = 1 << 14
"""Places of the list; all of Unicode needs 4,703 for words."""

_MARK = re.compile(normal.MARKS)
_KINDS: tuple[tuple[int, re.Pattern[str]], ...] = (
    (CJK_DIGIT, re.compile(rf"(?=\d)[{normal.CJK}]")),
    (CJK, re.compile(rf"[{normal.CJK}]")),
    (LETTER, re.compile(normal.LETTER)),
    (DIGIT, re.compile(r"\d")),
    (MINUS, re.compile("-")),
    (SIGN, re.compile(normal.SIGNS)),
)


class Folded(NamedTuple):
    """What a character becomes."""

    text: str
    marked: bool
    """It may melt into the character before it, so texts that hold it are folded in Python."""


class CharTable:
    """Entries of one folding: kind and code of what each character becomes."""

    def __init__(self, fold: Callable[[str], Folded], kind: Callable[[str], int]) -> None:
        self._fold, self._kind = fold, kind
        self._lock = threading.Lock()
        self._used = 0
        self.entry_C: NDArray[np.uint32] = np.zeros(_CODES, np.uint32)  # pages that nobody touches take no memory
        self.long_L: NDArray[np.uint32] = np.zeros(LONGEST, np.uint32)
        self.learn(0)  # loops take ASCII for known

    def learn(self, code: int) -> None:
        """Fill the page of a code point; other threads may read meanwhile, so an entry is written after what it points to."""
        start = code // PAGE * PAGE
        with self._lock:
            if self.entry_C[code] == UNKNOWN:
                self.entry_C[start : start + PAGE] = [self._entry(chr(each)) for each in range(start, start + PAGE)]

    def _entry(self, char: str) -> int:
        folded = self._fold(char)
        entries = [self._kind(each) << KIND_SHIFT | ord(each) for each in folded.text]
        mark = (MARKED if folded.marked else 0) << KIND_SHIFT
        return mark | (entries[0] if len(entries) == 1 else LONG << KIND_SHIFT | self._store(entries))

    def _store(self, entries: Iterable[int]) -> int:
        row = [0, *entries]
        row[0] = len(row) - 1
        at, self._used = self._used, self._used + len(row)
        self.long_L[at : self._used] = row
        return at


def _word_fold(char: str) -> Folded:
    return Folded(normal.fold_cluster(char), _MARK.fullmatch(char) is not None)


def _word_kind(char: str) -> int:
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(char)), OTHER)


WORDS = CharTable(_word_fold, _word_kind)
"""The folding of normal.words."""
CASELESS = CharTable(lambda char: Folded(char.casefold(), False), lambda char: SPACE if char.isspace() else OTHER)
"""str.casefold, and the white space of str.split."""
