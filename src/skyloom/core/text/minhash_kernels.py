"""Compiled loops of the near-duplicate search: shingles and signatures, buckets, sets, Jaccard indexes.

Formula  shingle  h = count; for each word w: h = h * MIX + w; then spread over all bits
         hash k   the smallest (a_k x + b_k) mod 2^32 over the shingles' upper halves x
Source   core/text/minhash.py
Flow     under core.text.minhash, which imports it late (numba takes half a second)
Run      only through that module
Shapes   W words, T texts, D documents (a run of texts each), K hashes of a signature, S shingles, M pairs
"""

import numpy as np
from numpy.typing import NDArray

from skyloom.core.text.kernels import I64, U8, U32, U64, jit

F64 = NDArray[np.float64]
MIX, FINISH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
HALF, TAIL = np.uint64(32), np.uint64(29)
FEW, MOST, BEST = 64, 2048, 8
"""Buckets up to FEW are compared all with all; of larger ones at most MOST representatives are kept, and a member is paired with
the BEST of them (and those that equal the last of these) (ours)."""


@jit
def shingle(hash_W: U64, first: int, count: int) -> np.uint64:
    """Hash of `count` words in a row."""
    value = np.uint64(count)
    for k in range(first, first + count):
        value = value * MIX + hash_W[k]
    value ^= value >> HALF
    value *= FINISH
    return value ^ (value >> TAIL)


@jit
def sketch_texts(
    hash_W: U64,
    first_T: I64,
    count_T: I64,
    n: int,
    factor_K: U32,
    shift_K: U32,
) -> tuple[U32, U64]:
    """Signature and digest of every text."""
    texts, hashes = len(first_T), len(factor_K)
    signature_TK = np.empty((texts, hashes), np.uint32)
    digest_T = np.empty(texts, np.uint64)
    x_S = np.empty(max(1, count_T.max()) if texts else 1, np.uint32)
    for t in range(texts):
        first, count = first_T[t], count_T[t]
        size = max(1, count - n + 1)
        for s in range(size):
            x_S[s] = np.uint32(shingle(hash_W, first + s, min(n, count)) >> HALF)
        digest_T[t] = shingle(hash_W, first, count)
        # Over the shingles inside: a minimum over a run of memory is what compilers turn into vector code.
        for k in range(hashes):
            low = np.uint32(0xFFFFFFFF)
            for s in range(size):
                low = min(low, np.uint32(np.uint32(factor_K[k] * x_S[s]) + shift_K[k]))
            signature_TK[t, k] = low
    return signature_TK, digest_T


@jit
def band_keys(signature_DK: U32, start: int, stop: int) -> U64:
    """One number a document for a band of its signature."""
    key_D = np.empty(len(signature_DK), np.uint64)
    for d in range(len(signature_DK)):
        key = np.uint64(start)
        for k in range(start, stop):
            key = (key ^ np.uint64(signature_DK[d, k])) * MIX
            key ^= key >> TAIL
        key_D[d] = key
    return key_D


@jit
def equal_bytes(one_K: U8, other_K: U8) -> int:
    """Places where two signatures agree."""
    same = np.uint8(0)  # 255 hashes at most: sums of bytes stay bytes, 64 of them in one instruction
    for k in range(len(one_K)):
        same = np.uint8(same + np.uint8(one_K[k] == other_K[k]))
    return int(same)


@jit
def within_buckets(order_D: I64, key_D: U64, byte_DK: U8, cut: int, sure: int) -> I64:
    """Pairs with `cut` equal hashes inside runs of equal keys; a member like a representative (`sure`) never becomes one."""
    pair_M2 = np.empty((1024, 2), np.int64)
    found = 0
    representative, equal = np.empty(MOST, np.int64), np.empty(MOST, np.int64)
    start = 0
    while start < len(order_D):
        stop = start + 1
        while stop < len(order_D) and key_D[stop] == key_D[start]:
            stop += 1
        small = stop - start <= FEW
        known = 0
        for place in range(start, stop):
            d = order_D[place]
            for r in range(min(known, MOST)):
                equal[r] = equal_bytes(byte_DK[d], byte_DK[representative[r]])
            here = equal[: min(known, MOST)]
            level = cut if len(here) <= BEST or small else max(cut, np.partition(here, -BEST)[-BEST])
            for r in np.flatnonzero(here >= level):
                if found == len(pair_M2):
                    pair_M2 = np.concatenate((pair_M2, np.empty_like(pair_M2)))
                pair_M2[found, 0], pair_M2[found, 1] = representative[r], d
                found += 1
            if small or not len(here) or here.max() < sure:
                representative[known % MOST] = d
                known += 1
        start = stop
    return pair_M2[:found]


@jit
def shingle_sets(
    hash_W: U64,
    first_T: I64,
    count_T: I64,
    start_D: I64,
    stop_D: I64,
    n: int,
) -> tuple[U64, I64]:
    """Sorted distinct shingles of each run of texts, end to end, and D + 1 offsets."""
    total = 0
    for d in range(len(start_D)):
        for t in range(start_D[d], stop_D[d]):
            total += max(1, count_T[t] - n + 1)
    hash_S = np.empty(total, np.uint64)
    first_D = np.zeros(len(start_D) + 1, np.int64)
    filled = 0
    for d in range(len(start_D)):
        begin = filled
        for t in range(start_D[d], stop_D[d]):
            for s in range(max(1, count_T[t] - n + 1)):
                hash_S[filled] = shingle(hash_W, first_T[t] + s, min(n, count_T[t]))
                filled += 1
        hash_S[begin:filled].sort()
        unique = begin
        for s in range(begin, filled):
            if s == begin or hash_S[s] != hash_S[unique - 1]:
                hash_S[unique] = hash_S[s]
                unique += 1
        filled = first_D[d + 1] = unique
    return hash_S[:filled].copy(), first_D


@jit
def jaccards(
    one_S: U64,
    one_D: I64,
    first_M: I64,
    other_S: U64,
    other_D: I64,
    second_M: I64,
) -> F64:
    """Exact Jaccard index of pairs of sets."""
    jaccard_M = np.empty(len(first_M), np.float64)
    for m in range(len(first_M)):
        a, a_stop = one_D[first_M[m]], one_D[first_M[m] + 1]
        b, b_stop = other_D[second_M[m]], other_D[second_M[m] + 1]
        total, both = (a_stop - a) + (b_stop - b), 0
        while a < a_stop and b < b_stop:
            x, y = one_S[a], other_S[b]
            both += x == y
            a += x <= y
            b += y <= x
        jaccard_M[m] = both / (total - both)
    return jaccard_M
