"""Hashed words, and hashes of words in a row, for a whole batch of texts at once.

Formula  a text's words are those of normal.words; window h(k) = sum over j < n of w[k + j] * B^(n - 1 - j) mod 2^64
Source   Karp & Rabin 1987 with 64-bit words instead of characters
Flow     under core.text.ngrams and core.text.minhash
Run      window_hashes(Batch.of(["a b c"], masked=False).hash_W, 2)
Shapes   W words of all texts in a row, T texts, K windows = W - n + 1
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skyloom.core.text.buffers import Texts


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Batch:
    """The hashed words of some texts, end to end."""

    hash_W: NDArray[np.uint64]
    count_T: NDArray[np.int64]
    """Words of each text."""

    @classmethod
    def of(cls, texts: Texts, *, masked: bool) -> Self:
        """Cut and hash; a text may be empty. `masked`: every number counts as the same word."""
        from skyloom.core.text.cutting import cut  # numba: half a second that only those who cut should wait

        hash_W, count_T = cut(texts, masked=masked)
        return cls(hash_W=hash_W, count_T=count_T)

    @property
    def first_T(self) -> NDArray[np.int64]:
        """Position of each text's first word in hash_W."""
        return np.cumsum(self.count_T) - self.count_T

    @property
    def text_W(self) -> NDArray[np.int64]:
        """Position of the text that each word belongs to."""
        return np.repeat(np.arange(len(self.count_T)), self.count_T)


def window_hashes(hash_W: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Hash of each n words in a row, K = max(0, W - n + 1) of them; it depends on the words, not on their place."""
    from skyloom.core.text.kernels import roll_windows  # numba, as above

    window_K = np.empty(max(0, len(hash_W) - n + 1), np.uint64)
    roll_windows(hash_W, n, window_K)
    return window_K
