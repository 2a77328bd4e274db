"""Words of many texts as 64-bit hashes: the driver of the compiled tokeniser.

Formula  the words are those of normal.words; the hash is in core/text/kernels.py
Flow     under core.text.rolling
Run      cut(["A dog's 1,000 toys"], masked=False) is the hashes of a, dog's, 1000, toys and the count 4
Limits   A text with combining marks is folded in Python first, about ten times slower than the rest.
Shapes   W words of all texts in a row, T texts, B bytes, K folded characters of one text, S spelled numbers
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.core.text import kernels
from skyloom.core.text.buffers import Bytes, Texts, as_bytes
from skyloom.core.text.char_table import WORDS
from skyloom.core.text.normal import SPELLED, fold

_ALL = (1 << 64) - 1


class Cut(NamedTuple):
    """Hashed words end to end, and how many each text has."""

    hash_W: NDArray[np.uint64]
    count_T: NDArray[np.int64]


def cut(texts: Texts, *, masked: bool) -> Cut:
    """Cut and hash; a text may be empty. `masked`: every number counts as the same word."""
    return _cut(as_bytes(texts), masked, melted=False)


def word_hash(word: str) -> int:
    """The hash of one word of `normal.words`: the compiled formula in plain Python; the same on every machine."""
    h = int(kernels.SEED)
    for char in word:
        h = ((h ^ ord(char)) * int(kernels.STEP)) & _ALL
        h ^= h >> 32
    h = (h * int(kernels.LAST)) & _ALL
    return h ^ (h >> 29)


@lru_cache(maxsize=1)
def _spelled() -> NDArray[np.uint64]:
    return np.sort(np.array([word_hash(word) for word in SPELLED], np.uint64))


def _cut(source: Bytes, masked: bool, *, melted: bool) -> Cut:
    """The loop stops at what it cannot do alone: a new character, marks that melt, or more words than there is room for."""
    offset_T1 = source.offset_T1
    count_T = np.zeros(len(offset_T1) - 1, np.int64)
    longest = int(np.diff(offset_T1).max(initial=0))
    tables = (WORDS.entry_C, WORDS.long_L)
    pieces: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
    text, room = 0, 1
    while text < len(count_T):
        # One place a byte is enough but for characters that become several; pages that are not written take no memory.
        hash_W = np.empty(room * int(offset_T1[-1] - offset_T1[text]), np.uint64)
        char_K = np.empty(room * longest + 2, np.uint32)
        text, words, end = kernels.cut_texts(*source, tables, masked, melted, _spelled(), char_K, hash_W, count_T, text)
        pieces.append(hash_W[:words])
        if end == kernels.ODD:
            alone = _cut(as_bytes([fold(source.text(text))]), masked, melted=True)
            pieces.append(alone.hash_W)
            count_T[text] = alone.count_T[0]
            text += 1
        elif end == kernels.FULL:
            room *= 2
        elif end >= 0:
            WORDS.learn(end)
    return Cut(pieces[1] if len(pieces) == 2 else np.concatenate(pieces), count_T)
