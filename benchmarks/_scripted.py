"""The peer of benchmarks/curate.py: the same curation as one would script it with public libraries, in one process.

Exact copies by a set of folded texts, near copies by datasketch's MinHashLSH (128 permutations, sets of three words, threshold 0.8),
leaks by scikit-learn's CountVectorizer fitted on the items, the best tenth of each category by polars.
"""

import numpy as np
import polars as pl
from datasketch import MinHash, MinHashLSH
from sklearn.feature_extraction.text import CountVectorizer

from skyloom.core.text.normal import words


def scripted(rows: pl.DataFrame, items: list[str]) -> int:
    """The peer: rows that are left after its four steps."""
    seen: set[str] = set()
    triples: list[tuple[str, str, str]] = []
    kept: list[int] = []
    for k, (prompt, chosen, rejected) in enumerate(rows.select("prompt", "chosen", "rejected").iter_rows()):
        texts = ("\n".join(turn["content"] for turn in prompt), chosen, rejected)
        key = "\x1e".join(" ".join(text.casefold().split()) for text in texts)
        if key not in seen:
            kept.append(k)
            triples.append(texts)
        seen.add(key)
    lsh = MinHashLSH(threshold=0.8, num_perm=128)
    fresh: list[int] = []
    for at, texts in enumerate(triples):
        signature = MinHash(num_perm=128)
        cut = words(" ".join(texts))
        signature.update_batch([" ".join(cut[k : k + 3]).encode() for k in range(len(cut) - 2)])
        if not lsh.query(signature):
            fresh.append(at)
        lsh.insert(at, signature)
    vectorizer = CountVectorizer(ngram_range=(7, 7))
    items_IG = vectorizer.fit_transform(items)
    hit = np.zeros(len(fresh), bool)
    for side in range(3):
        hit |= (vectorizer.transform([triples[at][side] for at in fresh]) @ items_IG.T).getnnz(axis=1) > 0
    left = rows[[kept[at] for at in np.array(fresh)[~hit]]]
    ranked = left.with_columns(score=(pl.col("score_chosen") + pl.col("score_rejected")) / 2)
    return ranked.filter(
        pl.col("score").rank("ordinal", descending=True).over("category") <= pl.len().over("category") / 10
    ).height
