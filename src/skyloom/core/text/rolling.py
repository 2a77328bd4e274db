"""Rolling hashes of words in a row, for a whole batch of texts at once.

Formula  h(k) = sum over j < n of w[k + j] * B^-j mod 2^64, from one prefix sum whatever n is; w = BLAKE2b of the word
Source   Karp & Rabin 1987 with 64-bit words instead of characters; B = 5 mod 8, so that swapped
         words collide with odds of 2^-(62 - log2 n) at most
Flow     under core.text.ngrams
Run      window_hashes(Batch.of(["a b c"], masked=False).hash_W, 2)
Shapes   W words of all texts in a row, T texts, K windows = W - n + 1
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skyloom.core.text.normal import words

BASE = 0x9E3779B97F4A7C15
INVERSE = pow(BASE, -1, 1 << 64)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Batch:
    """The hashed words of some texts, end to end."""

    hash_W: NDArray[np.uint64]
    text_W: NDArray[np.int64]
    """Position of the text that each word belongs to."""
    first_T: NDArray[np.int64]
    """Position of each text's first word in hash_W."""
    count_T: NDArray[np.int64]
    """Words of each text."""

    @classmethod
    def of(cls, texts: Sequence[str], *, masked: bool) -> Self:
        """Cut and hash; a text may be empty."""
        words_T = [words(text, masked=masked) for text in texts]
        count_T = np.fromiter(map(len, words_T), np.int64, len(words_T))
        total = int(count_T.sum())
        return cls(
            hash_W=np.fromiter(map(word_hash, chain.from_iterable(words_T)), np.uint64, total),
            text_W=np.repeat(np.arange(len(words_T)), count_T),
            first_T=np.cumsum(count_T) - count_T,
            count_T=count_T,
        )


@lru_cache(maxsize=1 << 18)
def word_hash(word: str) -> int:
    """64 bits of BLAKE2b: the same on every machine, unlike Python's own hash."""
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def window_hashes(hash_W: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Hash of each n words in a row, K = max(0, W - n + 1) of them; it depends on the words, not on their place."""
    count = len(hash_W) - n + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    prefix = np.zeros(len(hash_W) + 1, np.uint64)
    np.cumsum(hash_W * _powers(INVERSE, len(hash_W)), out=prefix[1:])
    return (prefix[n:] - prefix[:count]) * _powers(BASE, count)


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)  # wraps modulo 2^64
