"""Contamination search: our n-gram index against the CountVectorizer product, on the same generated texts.

Peer     scikit-learn CountVectorizer(ngram_range=(7, 13)) fitted on the benchmark's items, times the counts of the training prompts;
         the widely re-run way of decontaminating preference data (any common 7-gram is a hit). Fitting on the items alone is kinder
         than the original, which fits on the prompts too.
Input    generated: 20,000 prompts of about 100 words against 3,000 items of about 40; 2 % of the prompts carry a run of 7 to 40
         words of an item. Words follow a Zipf law, as stock phrases do in real text.
Checked  every planted copy that the peer finds is found by ours, and ours finds all planted ones
Run      python benchmarks/contamination.py [--quick]
"""

import json
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from skyloom.core.rng import stream
from skyloom.core.text.ngrams import NgramIndex, Rule

N = 7


class Corpus(NamedTuple):
    """Generated texts, and which prompts carry a copy."""

    items: list[str]
    prompts: list[str]
    planted: set[int]


def corpus(prompts: int, items: int) -> Corpus:
    rng = stream(20260101, "contamination")
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = ["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(20_000)]
    odds = 1 / np.arange(2, len(vocabulary) + 2)
    odds /= odds.sum()

    def text(count: int) -> list[str]:
        return [vocabulary[k] for k in rng.choice(len(vocabulary), count, p=odds)]

    items_words = [text(int(rng.integers(10, 70))) for _ in range(items)]
    prompts_words = [text(int(rng.integers(20, 180))) for _ in range(prompts)]
    planted = set(rng.choice(prompts, prompts // 50, replace=False).tolist())
    for k in sorted(planted):
        item = items_words[rng.integers(items)]
        length = int(rng.integers(N, min(40, len(item)) + 1))
        start = int(rng.integers(len(item) - length + 1))
        at = int(rng.integers(len(prompts_words[k])))
        prompts_words[k][at:at] = [word.upper() for word in item[start : start + length]]
    return Corpus([" ".join(words) for words in items_words], [" ".join(words) for words in prompts_words], planted)


def ours(data: Corpus) -> set[int]:
    return set(NgramIndex.build(data.items, Rule(n=N)).query(data.prompts)["query"].to_list())


def peer(data: Corpus) -> set[int]:
    vectorizer = CountVectorizer(ngram_range=(7, 13))
    items = vectorizer.fit_transform(data.items)
    return set(np.flatnonzero((vectorizer.transform(data.prompts) @ items.T).getnnz(axis=1)).tolist())


def timed(find: Callable[[Corpus], set[int]], data: Corpus, repeats: int) -> tuple[set[int], float]:
    """Hits and the median of the seconds."""
    seconds: list[float] = []
    hits: set[int] = set()
    for _ in range(repeats):
        start = time.perf_counter()
        hits = find(data)
        seconds.append(time.perf_counter() - start)
    return hits, float(np.median(seconds))


def main() -> None:
    quick = "--quick" in sys.argv
    data = corpus(2_000, 300) if quick else corpus(20_000, 3_000)
    repeats = 3
    found, seconds = timed(ours, data, repeats)
    found_peer, seconds_peer = timed(peer, data, repeats)
    assert found >= found_peer & data.planted, "a true hit of the peer is missed"
    assert found >= data.planted, "a planted copy is missed"
    print(f"{len(data.prompts)} prompts, {len(data.items)} items, {len(data.planted)} planted")
    print(
        f"ours: {len(found)} hits in {seconds:.2f} s; CountVectorizer: {len(found_peer)} hits in {seconds_peer:.2f} s"
    )
    result = {"name": "contamination", "ours": round(seconds, 4), "peer": round(seconds_peer, 4),
              "ratio": round(seconds_peer / seconds, 2), "unit": "s (less is better)", "repeats": repeats}  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
