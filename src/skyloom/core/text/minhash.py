"""Near-duplicate search: MinHash signatures, banded candidates, and the exact Jaccard index of every candidate.

Formula  J(A, B) = |A & B| / |A | B| of sets of n words in a row. Hash k of a signature is min over x in A of (a_k x + b_k) mod 2^32; two
         signatures agree in a share of their hashes that estimates J. Two documents are compared when one of b bands of r hashes is
         equal: P = 1 - (1 - J^r)^b. r is the largest that leaves P >= 0.9995 at the threshold (0.8: r = 5, b = 20), and estimates
         are cut where Binomial(hashes, threshold) has 0.0005 below it: together at least 0.999 of the true pairs are verified
Source   Broder 1997 (resemblance); Indyk & Motwani 1998 (bands); Dietzfelbinger et al. 1997 (multiply-shift); Li & Koenig 2010 (one
         byte of a hash is enough to compare). For 435M shingles, rensa 0.5 takes 2 s once they are made, this 5 s with making them:
         too little of a run's minutes for another compiled dependency
Flow     under reward.annotate.near_duplicates
Run      words = Words.of(["a b c d"]); sketch(words, Rule())
Limits   A bucket of more than FEW documents is compared with its representatives only (members that are like no earlier one, the last
         MOST of them) and paired with the best of these: work grows with its clusters, not with its square. Sets are of 64-bit hashes.
Shapes   W words, T texts, D documents (a run of texts each), K hashes of a signature, B bands, S shingles, M pairs of documents
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.core.text.buffers import Texts
from skyloom.core.text.rolling import Batch

MISSED: float = 0.0005
"""Share of pairs at the threshold that bands may miss, and the same for the cut (ours)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What counts as near."""

    threshold: float = 0.8
    """Smallest Jaccard index, above 0 and at most 1."""
    shingle: int = 3
    """Words in a row that make one member of a set; a shorter text is one member."""
    hashes: int = 100
    """Length of a signature: 8 to 255."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise BadInput(f"near duplicates: threshold is {self.threshold}; it must be above 0 and at most 1")
        if self.shingle < 1 or not 8 <= self.hashes <= 255:
            raise BadInput(
                f"near duplicates: shingle must be at least 1 and hashes 8 to 255, got {self.shingle} and {self.hashes}"
            )

    def band(self) -> int:
        """Hashes of a band: the largest count that still finds 1 - MISSED of the pairs at the threshold; 1 if none does."""
        fits = (r for r in range(self.hashes, 1, -1) if self.found(self.threshold, r) >= 1 - MISSED)
        return next(fits, 1)

    def found(self, jaccard: float, band: int) -> float:
        """Probability that two documents of that resemblance share a bucket."""
        return 1 - (1 - jaccard**band) ** (self.hashes // band)

    def cut(self) -> int:
        """Equal hashes from which on a candidate is verified."""
        from scipy.stats import binom

        return int(binom.ppf(MISSED, self.hashes, self.threshold))


class Words(NamedTuple):
    """The hashed words of some texts; a text without any (signs only) is one word, itself."""

    hash_W: NDArray[np.uint64]
    first_T: NDArray[np.int64]
    count_T: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Texts) -> Self:
        """Cut and hash."""
        batch = Batch.of(texts, masked=False)
        bare = np.flatnonzero(batch.count_T == 0)
        first_T, count_T = batch.first_T.copy(), batch.count_T.copy()
        first_T[bare], count_T[bare] = len(batch.hash_W) + np.arange(len(bare)), 1
        own = np.fromiter((_raw_hash(texts[k]) for k in bare.tolist()), np.uint64, len(bare))
        return cls(np.concatenate([batch.hash_W, own]), first_T, count_T)


class Sketch(NamedTuple):
    """What is kept of a text."""

    signature_TK: NDArray[np.uint32]
    digest_T: NDArray[np.uint64]
    """Hash of the words in order: equal for texts that differ in case, blanks and punctuation only."""


class Sets(NamedTuple):
    """Sorted shingle hashes of each document, no hash twice in one."""

    hash_S: NDArray[np.uint64]
    first_D: NDArray[np.int64]
    """D + 1 offsets."""


def sketch(words: Words, rule: Rule) -> Sketch:
    """Signature and digest of every text. The signature of a document is the smallest of its texts', hash by hash."""
    from skyloom.core.text import (
        minhash_kernels as kernels,
    )  # numba: half a second that only those who sketch should wait

    # One sequence of functions for all lengths: signatures of different runs can be compared.
    odd, shift = stream(0, "minhash").integers(0, 1 << 32, (2, 255), np.uint32)
    factor_K, shift_K = odd[: rule.hashes] | np.uint32(1), shift[: rule.hashes]
    return Sketch(*kernels.sketch_texts(*words, rule.shingle, factor_K, shift_K))


def candidates(signature_DK: NDArray[np.uint32], rule: Rule) -> NDArray[np.int64]:
    """Pairs (earlier, later) of documents that may reach the threshold, M x 2, sorted; no pair twice."""
    from skyloom.core.text import minhash_kernels as kernels

    count, band = len(signature_DK), rule.band()
    byte_DK = signature_DK.astype(np.uint8)
    sure = int(np.ceil(rule.threshold * rule.hashes - 1e-9))
    found: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for start in range(0, rule.hashes - band + 1, band):
        key_D = kernels.band_keys(signature_DK, start, start + band)
        order_D = np.argsort(key_D, kind="stable")
        pair_M2 = kernels.within_buckets(order_D, key_D[order_D], byte_DK, rule.cut(), sure)
        found.append(_distinct(pair_M2[:, 0] * count + pair_M2[:, 1]))
    code_M = _distinct(np.concatenate(found))
    return np.stack([code_M // max(count, 1), code_M % max(count, 1)], axis=1)


def sets(words: Words, start_D: NDArray[np.int64], stop_D: NDArray[np.int64], rule: Rule) -> Sets:
    """The shingles of each document, the union over its texts [start, stop)."""
    from skyloom.core.text import minhash_kernels as kernels

    return Sets(*kernels.shingle_sets(*words, start_D.astype(np.int64), stop_D.astype(np.int64), rule.shingle))


def jaccards(one: Sets, first_M: NDArray[np.int64], other: Sets, second_M: NDArray[np.int64]) -> NDArray[np.float64]:
    """Exact Jaccard index of document `first` of one and document `second` of the other, 0 to 1."""
    from skyloom.core.text import minhash_kernels as kernels

    return kernels.jaccards(*one, first_M.astype(np.int64), *other, second_M.astype(np.int64))


def blocks(pair_M2: NDArray[np.int64], words_D: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    """The pairs in runs whose documents hold `most` words together (a single pair may hold more)."""
    if not len(pair_M2):
        return
    if len(pair_M2) == 1 or words_D[np.unique(pair_M2)].sum() <= most:
        yield pair_M2
        return
    half = len(pair_M2) // 2
    yield from blocks(pair_M2[:half], words_D, most)
    yield from blocks(pair_M2[half:], words_D, most)


def clusters(pair_M2: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Connected components over `count` documents, each labelled by its first member."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pair_M2), np.int8), (pair_M2[:, 0], pair_M2[:, 1])), shape=(count, count))
    label_D = connected_components(links, directed=False)[1]
    _, first = np.unique(label_D, return_index=True)
    return first[label_D].astype(np.int64)


def _raw_hash(text: str | None) -> int:
    raw = (text or "").strip().encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


def _distinct(code_M: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted, no number twice; np.unique hashes, and takes some 15 times as long on these numbers."""
    code_M = np.sort(code_M)
    return code_M[np.append(True, code_M[1:] != code_M[:-1])[: len(code_M)]]
