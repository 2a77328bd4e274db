"""128-bit digests of texts that are equal but for case and white space.

Formula  digest of " ".join(text.casefold().split()); punctuation stays (the hash is in core/text/kernels.py)
Flow     under the annotators that look for exact copies
Run      digests(["A  b", "a b "]) has two equal rows
Limits   Not for secrets: whoever knows the constants can make two texts collide.
Shapes   T texts, N groups of texts
"""

import numpy as np
from numpy.typing import NDArray

from skyloom.core.text import kernels
from skyloom.core.text.buffers import Texts, as_bytes
from skyloom.core.text.char_table import CASELESS


def digests(texts: Texts) -> NDArray[np.uint64]:
    """(T, 2): 128 bits a text, the same on every machine; a null of a column is an empty text."""
    source = as_bytes(texts)
    longest = int(np.diff(source.offset_T1).max(initial=0))
    digest_T2 = np.empty((len(source.offset_T1) - 1, 2), np.uint64)
    text, end, room = 0, 0, 1
    while end != kernels.DONE:
        char_K = np.empty(room * longest + 2, np.uint32)
        text, end = kernels.digest_texts(*source, (CASELESS.entry_C, CASELESS.long_L), char_K, digest_T2, text)
        if end == kernels.FULL:
            room *= 2
        elif end >= 0:
            CASELESS.learn(end)
    return digest_T2


def join_digests(digest_T2: NDArray[np.uint64], count_N: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(N, 2): one digest for each run of `count` digests; order and number matter."""
    joined_N2 = np.empty((len(count_N), 2), np.uint64)
    kernels.join_digests(np.ascontiguousarray(digest_T2), count_N, joined_N2)
    return joined_N2
