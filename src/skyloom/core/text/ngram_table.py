"""One table of an n-gram index: hashes of one kind and one length, and the search for them in a batch of texts.

Formula  a sorted array behind a filter of two looks; windows of one text and one item that overlap or touch are one match
Flow     under core.text.ngrams
Run      table_of("ngram", 13, hash_G, item_G).matches(batch)
Shapes   W words of a batch, G hashes of a table, F words of a filter, K windows that may match, M matches
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.core.text.rolling import Batch

Kind = Literal["ngram", "contained", "whole"]
KINDS: tuple[Kind, ...] = ("ngram", "contained", "whole")


class Matches(NamedTuple):
    """Runs [first, stop) of the batch's words that a text shares with an item."""

    text_M: NDArray[np.int64]
    item_M: NDArray[np.int64]
    first_M: NDArray[np.int64]
    stop_M: NDArray[np.int64]


class Candidates(NamedTuple):
    """First word and hash of windows that may be in a table."""

    first_K: NDArray[np.int64]
    hash_K: NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Table:
    """Hashes sorted by (hash, item), no pair twice."""

    kind: Kind
    length: int
    """Words that one hash stands for."""
    hash_G: NDArray[np.uint64]
    item_G: NDArray[np.uint32]
    filter_F: NDArray[np.uint64]
    """Bits, two set for every hash: most windows are ruled out by a look or two, without a search."""

    def matches(self, batch: Batch) -> Matches:
        """Each run of words that an item shares; two items that share the same words are two matches."""
        first_K, hash_K = self._candidates(batch)
        left_K = np.searchsorted(self.hash_G, hash_K, "left")
        count_K = np.searchsorted(self.hash_G, hash_K, "right") - left_K
        first_M = np.repeat(first_K, count_K)
        nth_M = np.arange(len(first_M)) - np.repeat(np.cumsum(count_K) - count_K, count_K)
        item_M = self.item_G[np.repeat(left_K, count_K) + nth_M].astype(np.int64)
        text_M = np.searchsorted(np.cumsum(batch.count_T), first_M, "right")
        return _merge(Matches(text_M, item_M, first_M, first_M + self.length))

    def _candidates(self, batch: Batch) -> Candidates:
        """Windows that stand in one text (or are all of it) and pass the filter."""
        from skyloom.core.text.kernels import find_windows  # numba, late as in Batch.of

        first_K = np.empty(len(batch.hash_W), np.int64)
        hash_K = np.empty(len(batch.hash_W), np.uint64)
        whole = self.kind == "whole"
        count = find_windows(batch.hash_W, batch.count_T, self.length, whole, self.filter_F, first_K, hash_K)
        return Candidates(first_K[:count], hash_K[:count])


def table_of(kind: Kind, length: int, hash_G: NDArray[np.uint64], item_G: NDArray[np.uint32]) -> Table:
    """Sort, drop repeats, make the filter (16 to 32 bits a hash)."""
    from skyloom.core.text.kernels import fill_filter  # numba, late as in Batch.of

    order = np.lexsort((item_G, hash_G))
    hash_G, item_G = hash_G[order], item_G[order]
    new_G = np.ones(len(hash_G), np.bool_)
    new_G[1:] = (hash_G[1:] != hash_G[:-1]) | (item_G[1:] != item_G[:-1])
    hash_G, item_G = hash_G[new_G], item_G[new_G]
    filter_F = np.zeros(1 << max(0, len(hash_G).bit_length() - 2), np.uint64)
    fill_filter(hash_G, filter_F)
    return Table(kind=kind, length=length, hash_G=hash_G, item_G=item_G, filter_F=filter_F)


def _merge(found: Matches) -> Matches:
    order = np.lexsort((found.first_M, found.item_M, found.text_M))
    text_M, item_M, first_M, stop_M = (column[order] for column in found)
    fresh_M = np.ones(len(text_M), np.bool_)
    fresh_M[1:] = (text_M[1:] != text_M[:-1]) | (item_M[1:] != item_M[:-1]) | (first_M[1:] > stop_M[:-1])
    starts = np.flatnonzero(fresh_M)
    ends = np.append(starts, len(text_M))[1:] - 1
    return Matches(text_M[starts], item_M[starts], first_M[starts], stop_M[ends])
