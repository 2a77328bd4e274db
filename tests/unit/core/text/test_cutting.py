"""The compiled tokeniser against normal.words, and digests against the text that they stand for."""

import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skyloom.core.text import char_table, kernels
from skyloom.core.text.char_table import CharTable, Folded
from skyloom.core.text.cutting import cut, word_hash
from skyloom.core.text.digests import digests, join_digests
from skyloom.core.text.normal import SPELLED, fold_cluster, words
from skyloom.core.text.rolling import Batch, window_hashes

# Characters at which the word rule turns: signs inside numbers and words, digits of other scripts, marks that melt, characters
# that become several or none, letters beyond the first plane, a lone surrogate.
TURNS = "aBz'’-−., 0139+%½ßéﬁ…今ก๒٣²①Σς_\n\u200b\u00ad\u0301\u0323\u3099\u1161ᄀ가각か\U0001f600\U0001d400\ufdfa\ud800"
TEXTS = st.one_of(
    st.text(st.sampled_from(TURNS), max_size=40),
    st.text(max_size=40),
    st.text(st.characters(codec="ascii"), max_size=60),
    st.lists(st.sampled_from(["twenty-one", "1,000", "ab-cd", "don't", *sorted(SPELLED)]), max_size=6).map(" ".join),
)
TRICKY = [
    "1,000 1,00 12,345,678.9 1,000.5.6 1.5,000 1000,000 1,000, 1,0000 ,5 .5 5. 1,,2 ๑,๐๐๐ 1๒",
    "a-b ab-c a-bc ab-cd ab--cd ab-cd-e -ab ab- x-1 3-2 ab-'cd",
    "don't 'tis d''s rock'n'roll dogs' l'été o’clock",
    "",
    "\u0301\u0301a e\u0301\u0323 1\u20e3 か\u3099 \u1100\u1161\u11a8",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXTS, max_size=8), st.booleans())
@example(TRICKY, False)
@example(TRICKY, True)
def test_batches_hold_the_hashes_of_normal_words(texts, masked):
    cut_T = [words(text, masked=masked) for text in texts]
    batch = Batch.of(texts, masked=masked)
    assert batch.count_T.tolist() == [len(each) for each in cut_T]
    assert batch.hash_W.tolist() == [word_hash(word) for each in cut_T for word in each]
    assert batch.first_T.tolist() == [sum(map(len, cut_T[:k])) for k in range(len(texts))]
    assert batch.text_W.tolist() == [k for k, each in enumerate(cut_T) for _ in each]


@settings(max_examples=200, deadline=None)
@given(st.sets(st.text(min_size=1, max_size=6), max_size=200))
def test_different_words_have_different_hashes(several):
    assert len({word_hash(word) for word in several}) == len(several)


def test_all_short_words_have_different_hashes():
    letters = "abcdefghijklmnopqrstuvwxyz'"
    short = [a + b + c for a in ("", *letters) for b in letters for c in letters]
    assert len({word_hash(word) for word in short}) == len(short)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=40)), max_size=8))
def test_columns_are_read_as_lists_are(texts):
    column = pl.Series(texts, dtype=pl.String)
    whole, listed = cut(column, masked=False), cut([text or "" for text in texts], masked=False)
    assert whole.hash_W.tolist() == listed.hash_W.tolist()
    part = cut(pl.concat([column, column])[1 : len(texts) + 1], masked=False)
    assert part.count_T.tolist() == [*listed.count_T[1:], *listed.count_T[:1]]


# Where characters fold to something else; the rest are Chinese characters, Hangul syllables, private and unassigned ones.
FOLDING = [
    *range(0x3400),
    *range(0xA000, 0xAC00),
    *range(0xF900, 0x20000),
    *range(0x2F800, 0x2FA20),
    *range(0xE0000, 0xE0200),
]


def test_every_character_is_cut_as_in_python():
    codes = [*FOLDING[::3], *(page + k for page in (0x4E00, 0xAC00, 0xD800, 0x20000, 0x10FF00) for k in range(256))]
    texts = [f"x{chr(code)}1" for code in codes]
    cut_T = [words(text) for text in texts]
    found = cut(texts, masked=False)
    assert found.count_T.tolist() == [len(each) for each in cut_T]
    assert found.hash_W.tolist() == [word_hash(word) for each in cut_T for word in each]


def test_the_list_of_long_folds_has_room_for_all_of_unicode():
    folds = [fold_cluster.__wrapped__(chr(code)) for code in FOLDING]
    assert 4000 < sum(len(fold) + 1 for fold in folds if len(fold) != 1) <= char_table.LONGEST
    # A folded text is folded again where it held marks: that must change nothing.
    assert all(fold_cluster.__wrapped__(each) == each for fold in set(folds) for each in fold)


def test_a_table_learns_a_page_once():
    asked = []
    table = CharTable(lambda char: asked.append(char) or Folded(char, False), lambda _: kernels.OTHER)
    table.learn(0x1234)
    table.learn(0x12FF)
    assert len(asked) == 2 * char_table.PAGE  # ASCII's own and this one
    assert int(table.entry_C[0x1250]) == kernels.OTHER << kernels.KIND_SHIFT | 0x1250


UNCOMPILED = """
import json, sys
from skyloom.core.text.cutting import cut
from skyloom.core.text.digests import digests
from skyloom.core.text.rolling import window_hashes
from skyloom.core.text.ngrams import NgramIndex, Rule
texts = json.loads(sys.argv[1])
found = cut(texts, masked=False)
index = NgramIndex.build(texts, Rule(n=3, contain=2))
print(json.dumps([found.hash_W.tolist(), window_hashes(found.hash_W, 3).tolist(), digests(texts).tolist(),
                  index.content_hash(), index.query(texts).rows()]))
"""


@pytest.mark.parametrize("off", ["0", "1"], ids=["compiled", "plain python"])
def test_another_process_gives_the_same_compiled_or_not(off):
    texts = [*TRICKY, "The sum of twelve and 1,000 is no less than it was.", "Größe ½ …"]
    env = {**os.environ, "NUMBA_DISABLE_JIT": off, "PYTHONWARNINGS": "ignore", "PYTHONHASHSEED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", UNCOMPILED, json.dumps(texts)], capture_output=True, text=True, check=True, env=env
    )
    hashes, windows, digest, content, rows = json.loads(done.stdout)
    assert hashes[:2] == [17022280970390392529, 5391564201798084577]  # the same on every machine
    assert hashes == cut(texts, masked=False).hash_W.tolist()
    assert windows == window_hashes(np.array(hashes, np.uint64), 3).tolist()
    assert digest == digests(texts).tolist()
    assert len(content) == 32
    assert rows


def folded(text):
    return " ".join(text.casefold().split())


BLANKS = st.text(st.sampled_from("aAß ẞİı\t\n\x1c\x85\xa0\u2003\u200b.,Σς\U0001f600"), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(BLANKS, st.text(max_size=12)), max_size=12))
def test_digests_are_equal_where_the_folded_texts_are(texts):
    seen = {}
    for text, digest in zip(texts, map(tuple, digests(texts).tolist()), strict=True):
        assert seen.setdefault(folded(text), digest) == digest
    assert len(set(seen.values())) == len(seen)


def test_joined_digests_see_order_and_number():
    one, two, three = digests(["one", "two", "three"])
    runs = [[one, two], [two, one], [one], [], [one, two, three], [one, two]]
    joined = join_digests(
        np.array([each for run in runs for each in run]), np.array([len(run) for run in runs], np.int64)
    )
    assert len({tuple(each) for each in joined.tolist()}) == 5
    assert joined[0].tolist() == joined[-1].tolist()


def test_characters_that_become_many_find_room():
    long_folds = "\ufdfa" * 50  # one character of three bytes that becomes eighteen
    assert cut([long_folds, "a"], masked=False).hash_W.tolist() == [
        word_hash(word) for word in [*words(long_folds), "a"]
    ]


def test_importing_text_tools_does_not_wait_for_the_compiler():
    code = "import sys, skyloom.core.text.ngrams, skyloom.reward.annotate.exact_duplicates; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
