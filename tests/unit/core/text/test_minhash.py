"""Near-duplicate search: sets against Python's own, the laws of signatures, recall of the bands, bounded buckets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.core.text import minhash
from skyloom.core.text.minhash import Rule, Words
from skyloom.core.text.normal import words

PIECES = st.sampled_from(["a", "B", "c", "12", "1,000", "+", "é", "今", "seven", "!", "🙂", "\u200b"])
TEXTS = st.lists(st.lists(PIECES, max_size=9).map(" ".join), min_size=2, max_size=8)


def shingles(text, n):
    """The definition, in sets of tuples."""
    found = words(text) or [text.strip()]
    return {tuple(found[k : k + n]) for k in range(max(1, len(found) - n + 1))}


def alone(texts):
    """Every text as a document of its own."""
    return np.arange(len(texts)), np.arange(len(texts)) + 1


@given(TEXTS, st.integers(1, 4))
def test_jaccard_is_that_of_sets_of_tuples(texts, n):
    rule = Rule(shingle=n)
    sets = minhash.sets(Words.of(texts), *alone(texts), rule)
    for k in range(1, len(texts)):
        one, other = shingles(texts[0], n), shingles(texts[k], n)
        (found,) = minhash.jaccards(sets, np.array([0]), sets, np.array([k]))
        assert found == len(one & other) / len(one | other)


@given(TEXTS)
def test_a_document_is_the_union_of_its_texts(texts):
    rule, cut = Rule(), Words.of(texts)
    whole = minhash.sets(cut, np.array([0]), np.array([len(texts)]), rule)
    assert len(whole.hash_S) == len(set().union(*(shingles(text, 3) for text in texts)))
    assert np.all(whole.hash_S[1:] > whole.hash_S[:-1])
    signature_TK, _ = minhash.sketch(cut, rule)
    turned_TK, _ = minhash.sketch(Words.of(texts[::-1]), rule)
    assert np.array_equal(signature_TK.min(axis=0), turned_TK.min(axis=0))


@given(TEXTS)
def test_equal_words_have_equal_sketches_whatever_stands_around_them(texts):
    one, other = (minhash.sketch(Words.of(each), Rule()) for each in (texts, [f"  {text} ".upper() for text in texts]))
    assert np.array_equal(one.signature_TK, other.signature_TK)
    assert np.array_equal(one.digest_T, other.digest_T)
    alone_T = [minhash.sketch(Words.of([text]), Rule()).digest_T[0] for text in texts]
    assert one.digest_T.tolist() == alone_T
    normal = ["\0".join(words(text)) or text.strip() for text in texts]
    assert len(set(normal)) == len(set(one.digest_T.tolist()))


def test_empty_one_word_and_signs_only():
    texts = ["", "  ", "!", "?!", "Yes.", "yes", "no", "好", "好好"]
    signature_TK, digest_T = minhash.sketch(Words.of(texts), Rule())
    same = [[k for k, each in enumerate(digest_T.tolist()) if each == digest] for digest in digest_T.tolist()]
    assert same == [[0, 1], [0, 1], [2], [3], [4, 5], [4, 5], [6], [7], [8]]
    assert minhash.candidates(signature_TK, Rule()).tolist() == [[0, 1], [4, 5]]
    nothing = minhash.sketch(Words.of([]), Rule())
    assert nothing.signature_TK.shape == (0, 100)
    assert minhash.candidates(nothing.signature_TK, Rule()).shape == (0, 2)


def pairs_of_resemblance(count, size, shared, seed=0):
    """`count` pairs of sets of `size` random numbers that share `shared`, as signatures; J = shared / (2 size - shared)."""
    rng = stream(seed, "pairs", size, shared)
    texts = []
    for _ in range(count):
        numbers = rng.integers(0, 10**9, 2 * size).tolist()
        texts += [" ".join(map(str, numbers[:size])), " ".join(map(str, numbers[size - shared : 2 * size - shared]))]
    return minhash.sketch(Words.of(texts), Rule(shingle=1)).signature_TK


def test_the_estimate_is_unbiased_and_as_sharp_as_its_law():
    """Hashes agree with probability J; the standard error of 400 x 100 hashes at J = 0.8 is 0.002."""
    for size, shared in ((9, 8), (90, 80), (900, 800)):
        signature_TK = pairs_of_resemblance(400, size, shared)
        equal = (signature_TK[::2] == signature_TK[1::2]).mean(axis=1)
        assert equal.mean() == pytest.approx(0.8, abs=0.008)
        assert equal.std() == pytest.approx(0.04, abs=0.006)


def test_the_bands_are_the_widest_that_keep_their_promise():
    for threshold in (0.5, 0.7, 0.8, 0.9, 1.0):
        rule = Rule(threshold=threshold)
        assert rule.found(threshold, rule.band()) >= 1 - minhash.MISSED
        assert rule.band() == 100 or rule.found(threshold, rule.band() + 1) < 1 - minhash.MISSED
    assert (Rule().band(), Rule().cut()) == (5, 66)


def test_recall_at_the_threshold_is_as_promised():
    """3,000 pairs at J = 0.8 exactly: 3 are missed on average at a recall of 0.999, 10 with odds below 1 in 1,000."""
    signature_TK = pairs_of_resemblance(3000, 45, 40)
    found = {tuple(pair) for pair in minhash.candidates(signature_TK, Rule()).tolist()}
    assert sum((2 * k, 2 * k + 1) in found for k in range(3000)) > 2990
    assert len(found) < 3010


def test_no_pair_twice_and_the_earlier_first():
    signature_TK = pairs_of_resemblance(200, 20, 19)
    pair_M2 = minhash.candidates(signature_TK, Rule())
    assert len(np.unique(pair_M2, axis=0)) == len(pair_M2)
    assert np.all(pair_M2[:, 0] < pair_M2[:, 1])


def test_a_bucket_of_thousands_costs_little_and_loses_no_member():
    """5,000 copies with other edits (J about 0.9 to the first), and 2,000 texts that share half of their words with all others."""
    rng = stream(0, "bucket")
    stock = [f"w{k}" for k in range(200)]
    texts = []
    for k in range(5000):
        words_ = list(stock)
        words_[int(rng.integers(200))] = f"x{k}"
        texts.append(" ".join(words_))
    half = [f"{' '.join(stock[:100])} {' '.join(f'y{k}.{j}' for j in range(100))}" for k in range(2000)]
    texts += half
    texts.append(half[1500] + " and")  # the twin of one of the many that look alike
    rule = Rule()
    pair_M2 = minhash.candidates(minhash.sketch(Words.of(texts), rule).signature_TK, rule)
    assert len(pair_M2) < 60 * len(texts)
    sets = minhash.sets(Words.of(texts), *alone(texts), rule)
    near_M2 = pair_M2[minhash.jaccards(sets, pair_M2[:, 0], sets, pair_M2[:, 1]) >= 0.8]
    label_D = minhash.clusters(near_M2, len(texts))
    assert np.all(label_D[:5000] == 0)
    assert label_D[7000] == 6500
    assert len(np.unique(label_D)) == 2001


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30), st.permutations(range(20)))
def test_clusters_are_named_by_their_first_member_and_only_renamed_by_another_order(links, order):
    pair_M2 = np.array(links, np.int64).reshape(-1, 2)
    label_D = minhash.clusters(pair_M2, 20)
    assert all(label_D[a] == label_D[b] for a, b in links)
    assert all(label_D[label] == label <= k for k, label in enumerate(label_D.tolist()))
    other_D = minhash.clusters(np.array(order)[pair_M2], 20)[list(order)]
    assert np.array_equal(label_D[:, None] == label_D, other_D[:, None] == other_D)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30), st.integers(1, 60))
def test_blocks_hold_every_pair_once_and_few_words(links, most):
    pair_M2, words_D = np.array(links, np.int64).reshape(-1, 2), np.arange(1, 11)
    made = list(minhash.blocks(pair_M2, words_D, most))
    assert np.array_equal(np.concatenate([pair_M2[:0], *made]), pair_M2)
    assert all(len(block) == 1 or words_D[np.unique(block)].sum() <= most for block in made)


def test_senseless_rules_are_refused():
    for rule in ({"threshold": 0.0}, {"threshold": 1.1}, {"shingle": 0}, {"hashes": 300}, {"hashes": 4}):
        with pytest.raises(BadInput, match="near duplicates"):
            Rule(**rule)
