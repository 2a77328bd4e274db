"""Generated preference pairs with the length profile of the seven sources of Skywork-Reward, as the collected parts that curation reads.

Text     words by a Zipf law from 50,000 made-up ones, a stock phrase at the start of every third response (real replies share such),
         sentence signs between words; one text in ten has accents, typographic signs or Chinese characters in it
Planted  2 % exact copies (other case, other blanks), 3 % near copies (words of the responses replaced so that the Jaccard index of the
         sets of three words in a row is about 0.82 to 0.97), 1 % with 10 to 20 words of a benchmark item in one of the three texts
Flow     benchmarks/curate.py makes them and curates them
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.ledger.rows import PART_ROWS, SourceReport, write_reports
from skyloom.core.records import row_key, schema, source_number
from skyloom.core.rng import stream
from skyloom.core.store import write_json
from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.reward.records import Pair

SEED = 20260102
WORDS_A_TOKEN = 0.76


class Profile(NamedTuple):
    """A source of the paper's table: pairs of the pool, mean tokens of a prompt and of a response."""

    source: str
    pairs: int
    prompt: float
    response: float


PROFILES = (
    Profile("helpsteer2", 7_221, 21.3, 690.0),
    Profile("magpie_air", 98_000, 66.6, 240.0),
    Profile("magpie_pro", 98_000, 34.2, 621.5),
    Profile("magpie_pro31", 98_000, 118.8, 584.3),
    Profile("magpie_ultra", 50_000, 76.7, 670.0),
    Profile("offsetbias", 8_504, 69.1, 222.1),
    Profile("wildguardmix", 18_548, 164.3, 349.9),
)
"""arXiv 2410.18451, as in the table of the pool; their sum is 378,273 pairs. In the order of the parts' names, so
that a copy comes after what it copies. Prompt lengths are scaled to the paper's mean of 96.3."""
PROMPT_SCALE = 1.27
CATEGORIES = ("Math", "Coding & debugging", "Information seeking", "Advice seeking", "Reasoning", "Planning")
EXACT, NEAR, LEAK = 0.02, 0.03, 0.01
JACCARD = (0.82, 0.97)
"""Range of the planted near copies' Jaccard index."""
SHINGLE = 3
LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class Language:
    """Words, and what stands between them, as bytes end to end; and tables that turn a random number into one of them."""

    bytes_B: np.ndarray
    start_V1: np.ndarray
    plain_R: np.ndarray
    """2^20 places: word k stands in it in proportion to its Zipf weight."""
    gap_R: np.ndarray
    odd_R: np.ndarray
    """Gaps of texts that are not pure ASCII."""
    stock: tuple[np.ndarray, ...]


def language() -> Language:
    """The same one in every run."""
    rng = stream(SEED, "language")
    letters = np.array(list("bcdfghklmnprstvwz")), np.array(["a", "e", "i", "o", "u", "ea", "io"])
    syllables = np.char.add.outer(*letters).ravel()
    words = ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(50_000)]
    gaps = [" "] * 13 + [", ", ". ", "\n\n", " - ", " 12 ", ": ", "'s "]
    odd = [" "] * 8 + ["’s ", " — ", "é ", "… ", " “", "” ", " 今 ", " naïve ", ", "]
    pieces = [each.encode() for each in (*words, *gaps, *odd)]
    start_V1 = np.concatenate([[0], np.cumsum([len(each) for each in pieces])]).astype(np.int64)
    odds = 1 / np.arange(3, len(words) + 3)
    edges = np.searchsorted(np.cumsum(odds) / odds.sum(), (np.arange(1 << 20) + 0.5) / (1 << 20))
    first = len(words)
    return Language(
        np.frombuffer(b"".join(pieces), np.uint8),
        start_V1,
        edges.astype(np.int32),
        np.arange(first, first + len(gaps), dtype=np.int32),
        np.arange(first + len(gaps), first + len(gaps) + len(odd), dtype=np.int32),
        tuple(edges[rng.integers(0, 1 << 20, 6)].astype(np.int32) for _ in range(300)),
    )


@numba.njit(cache=False)
def _spell(bytes_B, start_V1, word_W, gap_W, offset_T1, out_B, where_T1):
    at = 0
    for t in range(len(offset_T1) - 1):
        where_T1[t] = at
        for w in range(offset_T1[t], offset_T1[t + 1]):
            for v in (word_W[w], gap_W[w]):
                for b in range(start_V1[v], start_V1[v + 1]):
                    out_B[at] = bytes_B[b]
                    at += 1
    where_T1[-1] = at


class Texts(NamedTuple):
    """Pieces of T texts: words, and the gap behind each."""

    word_W: np.ndarray
    gap_W: np.ndarray
    offset_T1: np.ndarray

    def spelled(self, tongue: Language) -> pa.Array:
        """As an Arrow column."""
        size_V = np.diff(tongue.start_V1)
        out_B = np.empty(int(size_V[self.word_W].sum() + size_V[self.gap_W].sum()), np.uint8)
        where_T1 = np.empty(len(self.offset_T1), np.int64)
        _spell(tongue.bytes_B, tongue.start_V1, self.word_W, self.gap_W, self.offset_T1, out_B, where_T1)
        return pa.LargeStringArray.from_buffers(len(where_T1) - 1, pa.py_buffer(where_T1), pa.py_buffer(out_B))


def draw_texts(tongue: Language, mean_T: np.ndarray, rng: np.random.Generator, phrases: bool) -> Texts:
    """Texts of about `mean` words: lognormal with sigma 0.6."""
    count_T = np.maximum(5, rng.lognormal(np.log(mean_T) - 0.18, 0.6)).astype(np.int64)
    offset_T1 = np.concatenate([[0], np.cumsum(count_T)])
    total = int(offset_T1[-1])
    word_W = tongue.plain_R[rng.integers(0, 1 << 20, total, dtype=np.int32)]
    gap_W = tongue.gap_R[rng.integers(0, len(tongue.gap_R), total, dtype=np.int32)]
    odd_T = rng.random(len(count_T)) < 0.1
    odd_W = np.repeat(odd_T, count_T)
    gap_W[odd_W] = tongue.odd_R[rng.integers(0, len(tongue.odd_R), int(odd_W.sum()), dtype=np.int32)]
    if phrases:
        for t in np.flatnonzero((rng.random(len(count_T)) < 1 / 3) & (count_T > 12)):
            phrase = tongue.stock[rng.integers(len(tongue.stock))]
            word_W[offset_T1[t] : offset_T1[t] + len(phrase)] = phrase
    return Texts(word_W, gap_W, offset_T1)


def jaccard(one: str, other: str) -> float:
    """Of the sets of three words in a row, blanks between words."""
    sets = [
        {tuple(words[k : k + SHINGLE]) for k in range(len(words) - SHINGLE + 1)}
        for words in (one.split(), other.split())
    ]
    return len(sets[0] & sets[1]) / max(1, len(sets[0] | sets[1]))


def _near(triple: tuple[str, str, str], rng: np.random.Generator) -> tuple[str, str, str]:
    """The same prompt, and responses with some words replaced: each costs three shingles of either pair, so m = n (1 - J) / (3 (1 + J))."""
    aim = float(rng.uniform(*JACCARD))
    prompt, *sides = triple
    words = [side.split(" ") for side in sides]
    share = (1 - aim) / (SHINGLE * (1 + aim)) * (1 + prompt.count(" ") / sum(map(len, words)))
    for side in words:
        for at in rng.choice(len(side), min(len(side), round(len(side) * share)), replace=False):
            side[at] = f"zq{rng.integers(1 << 40)}"
    return prompt, " ".join(words[0]), " ".join(words[1])


def _exact(triple: tuple[str, str, str]) -> tuple[str, str, str]:
    prompt, chosen, rejected = triple
    return prompt.upper() if prompt.isascii() else f" {prompt}", chosen.replace(" ", "  "), f"{rejected}\n"


def _leak(triple: tuple[str, str, str], items: list[str], rng: np.random.Generator) -> tuple[str, str, str]:
    item = items[rng.integers(len(items))].split()
    length = int(rng.integers(10, min(20, len(item)) + 1))
    start = int(rng.integers(len(item) - length + 1))
    side = int(rng.integers(3))
    texts = list(triple)
    texts[side] += " " + " ".join(item[start : start + length])
    return texts[0], texts[1], texts[2]


def make_items(tongue: Language, count: int) -> list[str]:
    """Benchmark items of about 40 words."""
    rng = stream(SEED, "items")
    return [
        text.as_py() + " as asked in this one item here now"
        for text in draw_texts(tongue, np.full(count, 33.0), rng, False).spelled(tongue)
    ]


def generate(folder: Path, pairs: int, items: int = 3_000) -> None:
    """Write rows/, truth/, sources.json, index.npz and items.json for about `pairs` pairs in the pool's proportions."""
    tongue = language()
    listed = make_items(tongue, items)
    NgramIndex.build(listed, Rule(n=7)).save(folder / "index.npz")
    for name in ("rows", "truth", "edges"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    total = sum(profile.pairs for profile in PROFILES)
    numbers: dict[str, int] = {}
    earlier: list[tuple[str, str, str]] = []
    reports: list[SourceReport] = []
    for profile in PROFILES:
        numbers[profile.source] = source_number(profile.source, numbers)
        count = max(20, round(pairs * profile.pairs / total))
        reports.append(
            SourceReport(profile.source, profile.source, numbers[profile.source], LICENCE, "train", False, count, 0, {})
        )
        for part, start in enumerate(range(0, count, PART_ROWS)):
            rng = stream(SEED, profile.source, part)
            size = min(PART_ROWS, count - start)
            keys = [row_key(numbers[profile.source], 0, start + k) for k in range(size)]
            _write_part(folder, profile, part, keys, tongue, listed, earlier, rng)
    write_json(folder / "items.json", listed)
    write_reports(folder, reports, [])


def _write_part(folder, profile, part, keys, tongue, items, earlier, rng) -> None:
    size = len(keys)
    means = (profile.prompt * PROMPT_SCALE, profile.response, profile.response)
    columns = [
        draw_texts(tongue, np.full(size, mean * WORDS_A_TOKEN), rng, phrases=k > 0).spelled(tongue).to_pylist()
        for k, mean in enumerate(means)
    ]
    draws = rng.random(size)
    truth = {name: np.zeros(size, bool) for name in ("exact", "near", "leak")}
    measured_N = np.full(size, np.nan)
    for k in np.flatnonzero(draws < EXACT + NEAR + LEAK).tolist():
        triple = (columns[0][k], columns[1][k], columns[2][k])
        if draws[k] >= EXACT + NEAR:
            truth["leak"][k] = True
            made = _leak(triple, items, rng)
        elif earlier:
            before = earlier[rng.integers(len(earlier))]
            truth["exact" if draws[k] < EXACT else "near"][k] = True
            made = _exact(before) if draws[k] < EXACT else _near(before, rng)
            measured_N[k] = jaccard(" ".join(before), " ".join(made))
        else:
            continue
        for column, text in zip(columns, made, strict=True):
            column[k] = text
    clean = np.flatnonzero(draws >= EXACT + NEAR + LEAK)
    earlier += [
        (columns[0][k], columns[1][k], columns[2][k]) for k in rng.choice(clean, min(400, len(clean)), replace=False)
    ]
    name = f"{profile.source}-00000-{part:05d}.parquet"
    _write_rows(folder / "rows" / name, profile.source, keys, columns, rng)
    truth_columns = {f"truth.{kind}": planted for kind, planted in truth.items()}
    truth_columns["truth.jaccard"] = measured_N
    pq.write_table(pa.table({"row": pa.array(keys, pa.int64()), **truth_columns}), folder / "truth" / name)


def _write_rows(path, source, keys, columns, rng) -> None:
    """The layout of core.ledger.rows.RowWriter; `content`, which curation does not read, is the row key."""
    size = len(keys)
    score = rng.normal(0.15, 0.03, size)
    fields = {
        "row": keys,
        "content": [key.to_bytes(16) for key in keys],
        "source": [source] * size,
        "licence": [LICENCE] * size,
        "prompt": [[{"role": "user", "content": text}] for text in columns[0]],
        "chosen": columns[1],
        "rejected": columns[2],
        "category": [CATEGORIES[k] for k in rng.integers(0, len(CATEGORIES), size)],
        "origin": [source] * size,
        "score_chosen": score + 0.01,
        "score_rejected": score - 0.01,
        "scores": [[]] * size,
        "confidence": [None] * size,
    }
    keyed = [
        ("row", pa.int64()),
        ("content", pa.large_binary()),
        ("source", pa.large_string()),
        ("licence", pa.large_string()),
    ]
    whole = pa.schema([*keyed, *schema(Pair)])
    table = pa.table({field.name: pa.array(fields[field.name], field.type) for field in whole}, schema=whole)
    pq.write_table(table, path, compression="zstd")
