"""Compiled loops over points: texts spread over a vector by their hashes, and greedy k-center on a grid of whole numbers.

Formula  hash of bytes: h = KEY; for each byte c: h = (h ^ c) * STEP, h ^= h >> 32; at the end h *= LAST, h ^= h >> 29
         squared distance of two grid points: |x|^2 + |c|^2 - 2 x.c in whole numbers, so that no order of adding changes it
Source   core/text/embed.py and core/text/kcenter.py
Flow     under these two, which import it late (numba takes half a second)
Run      only through those modules
Shapes   B bytes, T texts, F features of one text, D dimensions, N points, M points that are looked at, C centres and their padding
"""

import numpy as np
from numpy.typing import NDArray

from skyloom.core.text.kernels import I64, U8, U64, jit

F32 = NDArray[np.float32]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
WORD, PAIR, GRAM, NEXT = (
    np.uint64(0x243F6A8885A308D3),
    np.uint64(0xA4093822299F31D0),
    np.uint64(0x13198A2E03707344),
    np.uint64(0x082EFA98EC4E6C89),
)
STEP, LAST = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
HALF, TAIL, SIXTEEN, LOW = np.uint64(32), np.uint64(29), np.uint64(16), np.uint64(0xFFFF)
BLANK = 0x20
SCALE = 1024.0
"""Roots of counts are whole numbers of this part (ours)."""
BLOCKS = 8
"""Places of a vector to which each feature is added, one in each of so many equal blocks (ours)."""
TILE = 32
"""Centres that are looked at together: 24 KB at 384 dimensions, which stays next to the core."""
TAKEN = -1


@jit
def stir(h: np.uint64, c: int | np.uint64) -> np.uint64:
    """Take one byte, or 64 bits, into a hash."""
    h = (h ^ np.uint64(c)) * STEP
    return h ^ (h >> HALF)


@jit
def settle(h: np.uint64) -> np.uint64:
    """The finished hash."""
    h = h * LAST
    return h ^ (h >> TAIL)


@jit
def spread(hash_F: U64, weight: int, sum_D: I64) -> None:
    """Add weight x root of the count of every hash at its places; sorts the hashes."""
    hash_F.sort()
    width = len(sum_D) // BLOCKS
    start = 0
    while start < len(hash_F):
        stop = start + 1
        while stop < len(hash_F) and hash_F[stop] == hash_F[start]:
            stop += 1
        value = weight * np.int64(SCALE * np.sqrt(np.float64(stop - start)))
        bits = hash_F[start]
        for block in range(BLOCKS):
            if block == BLOCKS // 2:
                bits = settle(stir(NEXT, hash_F[start]))
            chunk = np.int64(bits & LOW)
            bits = bits >> SIXTEEN
            place = block * width + ((chunk >> 1) * width >> 15)
            sum_D[place] += value if chunk & 1 else -value
        start = stop


@jit
def hashed(bytes_B: U8, offset_T1: I64, point_TD: F32) -> None:
    """Words, pairs of words and runs of three bytes of normal texts (words with single blanks between them), as unit vectors; a
    text without any is the zero vector. Whole numbers up to the last division: the same bits on every machine."""
    texts, dims = point_TD.shape
    sum_D = np.empty(dims, np.int64)
    for t in range(texts):
        start, stop = offset_T1[t], offset_T1[t + 1]
        word_F = np.empty((stop - start + 1) // 2 + 1, np.uint64)
        words = 0
        k = start
        while k < stop:
            h = WORD
            while k < stop and bytes_B[k] != BLANK:
                h = stir(h, int(bytes_B[k]))
                k += 1
            word_F[words] = settle(h)
            words += 1
            k += 1
        pair_F = np.empty(max(words - 1, 0), np.uint64)
        for w in range(len(pair_F)):
            pair_F[w] = settle(stir(stir(PAIR, word_F[w]), word_F[w + 1]))
        gram_F = np.empty(max(stop - start - 2, 0), np.uint64)
        for g in range(len(gram_F)):
            h = GRAM
            for j in range(start + g, start + g + 3):
                h = stir(h, int(bytes_B[j]))
            gram_F[g] = settle(h)
        sum_D[:] = 0
        spread(word_F[:words], 2, sum_D)
        spread(pair_F, 2, sum_D)
        spread(gram_F, 1, sum_D)  # there are some five times as many as words
        total = 0.0
        for d in range(dims):
            total += np.float64(sum_D[d]) * np.float64(sum_D[d])
        length = np.sqrt(total) if total > 0 else 1.0
        for d in range(dims):
            point_TD[t, d] = np.float32(np.float64(sum_D[d]) / length)


@jit
def approach(
    grid_ND: I16,
    norm_N: I32,
    at_M: I64,
    centre_CD: I16,
    centre_C: I32,
    count: int,
    seen_N: I64,
    square_N: I32,
) -> None:
    """Lower square_N at some points to the smallest squared distance to the first `count` centres; seen_N says how many of them are in
    it already. Rows behind `count` that fill up the last tile must be copies of centres."""
    first = count
    for m in range(len(at_M)):
        first = min(first, seen_N[at_M[m]])
    for base in range(first // TILE * TILE, count, TILE):
        for m in range(len(at_M)):
            i = at_M[m]
            if seen_N[i] >= base + TILE:
                continue
            low, x_D = square_N[i], grid_ND[i]
            for c in range(base, base + TILE, 4):
                c0_D, c1_D, c2_D, c3_D = centre_CD[c], centre_CD[c + 1], centre_CD[c + 2], centre_CD[c + 3]
                s0, s1, s2, s3 = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
                for d in range(
                    len(x_D)
                ):  # 32 bits throughout: sums of products are what compilers turn into vector code
                    x = np.int32(x_D[d])
                    s0 = np.int32(s0 + np.int32(x * np.int32(c0_D[d])))
                    s1 = np.int32(s1 + np.int32(x * np.int32(c1_D[d])))
                    s2 = np.int32(s2 + np.int32(x * np.int32(c2_D[d])))
                    s3 = np.int32(s3 + np.int32(x * np.int32(c3_D[d])))
                low = min(low, np.int32(norm_N[i] + centre_C[c] - 2 * s0))
                low = min(low, np.int32(norm_N[i] + centre_C[c + 1] - 2 * s1))
                low = min(low, np.int32(norm_N[i] + centre_C[c + 2] - 2 * s2))
                low = min(low, np.int32(norm_N[i] + centre_C[c + 3] - 2 * s3))
            square_N[i] = low
    for m in range(len(at_M)):
        seen_N[at_M[m]] = count


@jit
def pick_ahead(
    grid_ND: I16,
    norm_N: I32,
    at_M: I64,
    rest: tuple[int, int],
    centre_CD: I16,
    centre_C: I32,
    pick_C: I64,
    far_C: I32,
    count: int,
    stop: int,
    seen_N: I64,
    square_N: I32,
) -> int:
    """Pick the farthest of the points at_M (ascending, all up to date) while none of the others can be as far: `rest` is the largest
    bound of those and the lowest position that has it. Returns the number of centres."""
    while count < stop:
        best, far = -1, np.int32(TAKEN)
        for m in range(len(at_M)):
            if square_N[at_M[m]] > far:
                best, far = at_M[m], square_N[at_M[m]]
        if best < 0 or far < rest[0] or (far == rest[0] and best > rest[1]):
            break
        pick_C[count], far_C[count] = best, far
        centre_CD[count], centre_C[count] = grid_ND[best], norm_N[best]
        count += 1
        for m in range(len(at_M)):
            i = at_M[m]
            x_D, c_D, s = grid_ND[i], grid_ND[best], np.int32(0)
            for d in range(len(x_D)):
                s = np.int32(s + np.int32(np.int32(x_D[d]) * np.int32(c_D[d])))
            square_N[i] = min(square_N[i], np.int32(norm_N[i] + norm_N[best] - 2 * s))
            seen_N[i] = count
        square_N[best] = TAKEN
    return count
