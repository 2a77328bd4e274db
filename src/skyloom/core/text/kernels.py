"""Compiled loops over the bytes of many texts: cut and hash words, hash whole texts, find windows of words.

Formula  word    h = SEED; for each character c: h = (h ^ c) * STEP, h ^= h >> 32; at the end h *= LAST, h ^= h >> 29
         window  sum over j < n of w[k + j] * BASE^(n - 1 - j) mod 2^64, rolled from one window to the next
         digest  two lanes of the word's formula, three characters at a time: 128 bits
Source   the word rule is that of `normal.WORD`, one branch a kind of character; rolling hashes: Karp & Rabin 1987; the filter
         is Bloom's (1970) with two looks
Flow     under core.text.cutting, digests, rolling and ngram_table; one file, since numba's cache does not see an edit of another
Run      only through those modules; importing this one takes half a second (numba), so whoever is imported early does it late
Shapes   B bytes, T texts, C code points, L long folds, K folded characters of one text, W words, G hashes of a table
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., object])
U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

KIND_SHIFT = 24
CODE = (1 << KIND_SHIFT) - 1
"""An entry of a table is a kind above these bits and a code point in them."""
UNKNOWN, OTHER, LETTER, DIGIT, SPACE = 0, 1, 2, 3, 4
SIGN, MINUS, CJK, CJK_DIGIT = 5, 6, 7, 8
"""Kinds; from SIGN on, one character is a word."""
LONG, MARKED = 16, 32
"""LONG: the code is a place in long_L. MARKED, a bit: may melt into the character before it."""
DONE, FULL, ODD = -1, -2, -3
"""How a loop over texts ends: all done; the output is full; a text holds marks that only Python melts into their letters.
A number from 0 up is a character that the table does not know yet."""
SEED, STEP, LAST = np.uint64(0x243F6A8885A308D3), np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
SEED2, STEP2 = np.uint64(0x13198A2E03707344), np.uint64(0xD1342543DE82EF95)
BASE, SECOND = np.uint64(0xD1B54A32D192ED03), np.uint64(0x94D049BB133111EB)
HALF, TAIL, CODE_BITS = np.uint64(32), np.uint64(29), np.uint64(21)
NONE, ONE, SIX, LOW6, SIXTY4 = np.uint64(0), np.uint64(1), np.uint64(6), np.uint64(63), np.uint64(64)
COMMA, DOT, APOSTROPHE, BLANK, HASH = 0x2C, 0x2E, 0x27, 0x20, 0x23


def jit(function: F) -> F:
    """numba.njit with the function's own type; machine code is kept on disk where a folder for it can be written."""
    make = cast(Callable[..., Callable[[F], F]], numba.njit)
    try:
        return make(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the user's cache is writable: compile in each process
        return make(nogil=True, error_model="numpy")(function)


@jit
def stir(h: np.uint64, c: int | np.uint64) -> np.uint64:
    """Take one character, or 64 bits, into a hash."""
    h = (h ^ np.uint64(c)) * STEP
    return h ^ (h >> HALF)


@jit
def stir2(h: np.uint64, c: int | np.uint64) -> np.uint64:
    """The same in the second lane of a digest."""
    h = (h ^ np.uint64(c)) * STEP2
    return h ^ (h >> HALF)


@jit
def settle(h: np.uint64) -> np.uint64:
    """The finished hash of a word."""
    h = h * LAST
    return h ^ (h >> TAIL)


@jit
def length_at(bytes_B: U8, i: int) -> int:
    """Bytes of the UTF-8 character that starts at i."""
    lead = int(bytes_B[i])
    return 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


@jit
def code_at(bytes_B: U8, i: int, length: int) -> int:
    """Code point of the character at i; lone surrogates are three bytes like others of their size."""
    if length == 1:
        return int(bytes_B[i])
    code = int(bytes_B[i]) & (0x7F >> length)
    for k in range(1, length):
        code = (code << 6) | (int(bytes_B[i + k]) & 0x3F)
    return code


@jit
def fold_text(bytes_B: U8, start: int, stop: int, table_C: U32, long_L: U32, melted: bool, char_K: U32) -> int:
    """Folded characters (kind and code) of one text into char_K, two zeros behind them; returns how many, or UNKNOWN's code
    as -code - 10, or FULL, or ODD. `melted`: marks are taken as they stand."""
    room = len(char_K) - 2
    k = 0
    i = start
    while i < stop:
        if room - k < stop - i:  # whatever comes, a byte is at most one character; long folds look for themselves
            return FULL
        while i < stop and bytes_B[i] < 0x80:
            char_K[k] = table_C[bytes_B[i]]
            k += 1
            i += 1
        if i == stop:
            break
        length = length_at(bytes_B, i)
        code = code_at(bytes_B, i, length)
        entry = int(table_C[code])
        if entry == UNKNOWN:
            return -code - 10
        if entry >> KIND_SHIFT & MARKED and not melted:
            return ODD
        entry &= ~(MARKED << KIND_SHIFT)
        i += length
        if entry >> KIND_SHIFT != LONG:
            char_K[k] = entry
            k += 1
            continue
        at = entry & CODE
        size = int(long_L[at])
        if k + size > room:
            return FULL
        for j in range(size):
            char_K[k + j] = long_L[at + 1 + j]
        k += size
    char_K[k] = 0
    char_K[k + 1] = 0
    return k


@jit
def kind_at(char_K: U32, i: int) -> int:
    """Kind of a folded character; UNKNOWN at the zeros behind the last."""
    return int(char_K[i]) >> KIND_SHIFT


@jit
def is_digit(char_K: U32, i: int) -> bool:
    """A decimal digit inside a number."""
    kind = kind_at(char_K, i)
    return kind in (DIGIT, CJK_DIGIT)


@jit
def read_letters(char_K: U32, i: int) -> tuple[np.uint64, int]:
    """L+(?:'L+)* from i on: its hash, and the place behind it. One loop for both: finding the end takes longer than hashing."""
    h = SEED
    while True:
        h = stir(h, int(char_K[i]) & CODE)
        i += 1
        if kind_at(char_K, i) != LETTER and not (
            int(char_K[i]) & CODE == APOSTROPHE and kind_at(char_K, i + 1) == LETTER
        ):
            return settle(h), i


@jit
def end_of_number(char_K: U32, i: int) -> int:
    r"""\d+(?:[.,]\d+)* from i on: the place behind it."""
    while True:
        i += 1
        if is_digit(char_K, i):
            continue
        code = int(char_K[i]) & CODE
        if not (code in (COMMA, DOT) and is_digit(char_K, i + 1)):
            return i


@jit
def has_thousands(char_K: U32, start: int, stop: int) -> bool:
    r"""Whether the number is \d{1,3}(?:,\d{3})+(?:\.\d+)? as a whole."""
    commas = 0
    group = 0
    for i in range(start, stop):
        code = int(char_K[i]) & CODE
        if code == DOT:
            for j in range(i + 1, stop):
                if not is_digit(char_K, j):
                    return False
            break
        if code == COMMA:
            if group > 3 or (commas > 0 and group != 3):
                return False
            commas += 1
            group = 0
        else:
            group += 1
    return commas > 0 and group == 3


@jit
def hash_number(char_K: U32, start: int, stop: int) -> np.uint64:
    """Hash of the number that stands at [start, stop), without the commas of its thousands."""
    plain = has_thousands(char_K, start, stop)
    h = SEED
    for i in range(start, stop):
        code = int(char_K[i]) & CODE
        if not (plain and code == COMMA):
            h = stir(h, code)
    return settle(h)


@jit
def is_minus(char_K: U32, i: int) -> bool:
    """A hyphen between two letters and two letters is none."""
    if i < 2 or kind_at(char_K, i - 1) != LETTER or kind_at(char_K, i - 2) != LETTER:
        return True
    return kind_at(char_K, i + 1) != LETTER or kind_at(char_K, i + 2) != LETTER


@jit
def cut_words(char_K: U32, count: int, masked: bool, spelled_S: U64, hash_W: U64, first: int) -> int:
    """Hashes of the words of one folded text into hash_W from `first` on; returns the place behind them."""
    w = first
    mask = settle(stir(SEED, HASH))
    i = 0
    while i < count:
        kind = kind_at(char_K, i)
        if kind == LETTER:
            h, stop = read_letters(char_K, i)
            if masked and 2 < stop - i < 10:
                at = np.searchsorted(spelled_S, h)
                if at < len(spelled_S) and spelled_S[at] == h:
                    h = mask
        elif kind == DIGIT:
            stop = end_of_number(char_K, i)
            h = mask if masked else hash_number(char_K, i, stop)
        elif kind >= SIGN and (kind != MINUS or is_minus(char_K, i)):
            stop = i + 1
            h = mask if masked and kind == CJK_DIGIT else settle(stir(SEED, int(char_K[i]) & CODE))
        else:
            i += 1
            continue
        hash_W[w] = h
        w += 1
        i = stop
    return w


@jit
def cut_texts(
    bytes_B: U8,
    offset_T1: I64,
    tables: tuple[U32, U32],
    masked: bool,
    melted: bool,
    spelled_S: U64,
    char_K: U32,
    hash_W: U64,
    count_T: I64,
    text: int,
) -> tuple[int, int, int]:
    """Words of the texts from number `text` on: hashes into hash_W, numbers of words into count_T. Returns the text where it
    stopped, the words written, and why it stopped."""
    w = 0
    while text < len(offset_T1) - 1:
        count = fold_text(bytes_B, offset_T1[text], offset_T1[text + 1], tables[0], tables[1], melted, char_K)
        if count <= -10:
            return text, w, -count - 10
        if count < 0:
            return text, w, count
        if w + count > len(hash_W):
            return text, w, FULL
        before = w
        w = cut_words(char_K, count, masked, spelled_S, hash_W, w)
        count_T[text] = w - before
        text += 1
    return text, w, DONE


@jit
def squeeze_blanks(char_K: U32, count: int) -> int:
    """Leave code points alone, one blank for each run of white space and none at the ends; returns how many are left."""
    k = 0
    after_blank = True
    for i in range(count):
        is_blank = kind_at(char_K, i) == SPACE
        char_K[k] = BLANK if is_blank else int(char_K[i]) & CODE
        k += not (is_blank and after_blank)
        after_blank = is_blank
    return k - 1 if k > 0 and after_blank else k


@jit
def digest_texts(
    bytes_B: U8, offset_T1: I64, tables: tuple[U32, U32], char_K: U32, digest_T2: U64, text: int
) -> tuple[int, int]:
    """128 bits of each text from number `text` on, three characters at a time. Returns where and why it stopped."""
    while text < len(offset_T1) - 1:
        count = fold_text(bytes_B, offset_T1[text], offset_T1[text + 1], tables[0], tables[1], True, char_K)
        if count < 0:
            return text, -count - 10 if count <= -10 else count
        count = squeeze_blanks(char_K, count)
        a, b = SEED, SEED2
        for i in range(0, count, 3):
            block = ONE  # above the characters, so that it tells how many there are
            for j in range(i, min(i + 3, count)):
                block = (block << CODE_BITS) | np.uint64(char_K[j])
            a, b = stir(a, block), stir2(b, block)
        digest_T2[text, 0] = settle(a)
        digest_T2[text, 1] = settle(b)
        text += 1
    return text, DONE


@jit
def join_digests(digest_T2: U64, count_N: I64, joined_N2: U64) -> None:
    """One digest of each run of digests."""
    t = 0
    for n in range(len(count_N)):
        a, b = SEED, SEED2
        for _ in range(count_N[n]):
            a, b = stir(a, digest_T2[t, 0]), stir2(b, digest_T2[t, 1])
            t += 1
        joined_N2[n, 0] = settle(a)
        joined_N2[n, 1] = settle(b)


@jit
def power(base: np.uint64, n: int) -> np.uint64:
    """base^n mod 2^64."""
    h = ONE
    for _ in range(n):
        h = h * base
    return h


@jit
def roll_windows(hash_W: U64, n: int, window_K: U64) -> None:
    """Hash of each n words in a row."""
    top = power(BASE, n)
    h = NONE
    for w in range(len(hash_W)):
        h = h * BASE + hash_W[w]
        if w >= n:
            h -= hash_W[w - n] * top
        if w >= n - 1:
            window_K[w - n + 1] = h


@jit
def shift_of(filter_F: U64) -> np.uint64:
    """What a hash is shifted by to point at a bit of a filter of 2^k words."""
    shift = SIXTY4 - SIX
    size = len(filter_F)
    while size > 1:
        shift -= ONE
        size >>= 1
    return shift


@jit
def two_looks(h: np.uint64, shift: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The two bits of a hash: its top bits, before and after another mixing."""
    return h >> shift, (h * SECOND) >> shift


@jit
def fill_filter(hash_G: U64, filter_F: U64) -> None:
    """Set both bits of every hash."""
    shift = shift_of(filter_F)
    for g in range(len(hash_G)):
        for place in two_looks(hash_G[g], shift):
            filter_F[place >> SIX] |= ONE << (place & LOW6)


@jit
def find_windows(hash_W: U64, count_T: I64, n: int, whole: bool, filter_F: U64, first_K: I64, hash_K: U64) -> int:
    """Windows of n words inside one text that pass the filter: their first words and hashes; returns how many. `whole`: only
    texts of n words."""
    top = power(BASE, n)
    shift = shift_of(filter_F)
    k = 0
    start = 0
    for t in range(len(count_T)):
        stop = start + count_T[t]
        if count_T[t] == n or (count_T[t] > n and not whole):
            h = NONE
            for w in range(start, stop):
                h = h * BASE + hash_W[w]
                if w >= start + n:
                    h -= hash_W[w - n] * top
                if w >= start + n - 1:
                    one, two = two_looks(h, shift)
                    if (filter_F[one >> SIX] >> (one & LOW6)) & (filter_F[two >> SIX] >> (two & LOW6)) & ONE:
                        first_K[k] = w - n + 1
                        hash_K[k] = h
                        k += 1
        start = stop
    return k
