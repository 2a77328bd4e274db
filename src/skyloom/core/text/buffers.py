"""Texts as one run of UTF-8 bytes, which compiled loops read.

Flow     under core.text.rolling and digests
Run      as_bytes(["a", "bc"]) holds b"abc" and 0, 1, 3
Shapes   B bytes, T texts
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Texts = Sequence[str] | pl.Series
"""Texts to read; a null of a Series is an empty text."""


class Bytes(NamedTuple):
    """Text t is bytes [offset[t], offset[t + 1]); both arrays are read-only."""

    bytes_B: NDArray[np.uint8]
    offset_T1: NDArray[np.int64]

    def text(self, t: int) -> str:
        """One text again; lone surrogates stand as they stood."""
        return self.bytes_B[self.offset_T1[t] : self.offset_T1[t + 1]].tobytes().decode("utf-8", "surrogatepass")


def as_bytes(texts: Texts) -> Bytes:
    """The bytes of a list or of a column."""
    if isinstance(texts, pl.Series):
        return _of_series(texts)
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    offset_T1 = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offset_T1[1:])
    return _frozen(np.frombuffer(b"".join(encoded), np.uint8), offset_T1)


def _of_series(texts: pl.Series) -> Bytes:
    # Arrow's "large string" is such a run of bytes; polars keeps short texts elsewhere, so this copies once.
    array = texts.cast(pl.String).fill_null("").rechunk().to_arrow().cast(pa.large_string())
    _, offsets, data = array.buffers()
    offset_T1 = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return _frozen(np.frombuffer(data if data is not None else b"", np.uint8), offset_T1)


def _frozen(bytes_B: NDArray[np.uint8], offset_T1: NDArray[np.int64]) -> Bytes:
    """Read-only views: loops are compiled for these, and a second version for writable ones would cost seconds."""
    offset_T1 = offset_T1.view()
    offset_T1.flags.writeable = False
    return Bytes(bytes_B, offset_T1)
