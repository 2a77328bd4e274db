"""Near duplicates of pairs: what resembles what, siblings, contradictions, order, and the bars on planted worlds."""

import random
from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import to_row
from skyloom.core.rng import stream
from skyloom.core.text.normal import words
from skyloom.reward.annotate import near_duplicates
from skyloom.reward.annotate.near_duplicates import ask_the_same, say_the_same
from skyloom.reward.sources import world
from skyloom.reward.world import defects
from skyloom.reward.world.defects import Sides

LONG = "The old harbour is quiet at night and the boats rest along the stone wall until the tide returns at dawn."
OTHER = "Nobody knows why the small shop on the corner sells nothing but red umbrellas and second hand maps."


def frame_of(*pairs, start=0):
    rows = [
        {"row": start + k, "prompt": [{"role": "user", "content": prompt}], "chosen": chosen, "rejected": rejected}
        for k, (prompt, chosen, rejected) in enumerate(pairs)
    ]
    return pl.DataFrame(rows, schema_overrides={"row": pl.Int64})


def fit(*pairs, **config):
    return near_duplicates.fit(frame_of(*pairs), near_duplicates.Config(**config))


def test_a_near_copy_names_what_it_resembles_and_how_much():
    pairs = (
        ("Tell me of the sea.", LONG, OTHER),
        ("Hi", "Hello", "Go"),
        ("Tell me of the sea.", LONG + " So be it.", OTHER),
    )
    found = fit(*pairs)
    assert found["near.like"].to_list() == [None, None, 0]
    assert found["near.jaccard"][2] == pytest.approx(defects.jaccard(Sides(*pairs[0]), Sides(*pairs[2])))
    assert found["near.cluster"].to_list() == [0, 1, 0]
    assert found["near.prompt_cluster"].to_list() == [0, 1, 0]
    assert not found["near.contradicts"].any()


def test_one_prompt_with_other_sides_is_no_near_duplicate():
    found = fit(("Tell me of the sea at night.", LONG, "No."), ("Tell me of the sea at night.", OTHER, "Never."))
    assert found["near.like"].to_list() == [None, None]
    assert found["near.cluster"].to_list() == [0, 1]
    assert found["near.prompt_cluster"].to_list() == [0, 0]


def test_siblings_are_no_copies_unless_wanted():
    pairs = (("Is 12 of them enough?", LONG, OTHER), ("Is 13 of them enough?", LONG, OTHER))
    assert fit(*pairs)["near.like"].to_list() == [None, None]
    assert fit(*pairs, siblings=False)["near.like"].to_list() == [None, 0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What colour is the sea", "What color is the sea", True),
        ("I cannot swim", "I can not swim", True),
        ("It's late, what now", "It is late, what now", True),
        ("Why don't they come", "Why do not they come", True),
        ("Tell me about gardens", "Please tell me about gardens today", True),
        ("Tell me about gardens", "Tell me about gadrens", True),
        ("the sea for Mara", "for Mara the sea", True),
        ("witohut the word gull", "without the word gull", True),
        ("Add 3 and 14", "Add 3 and 15", False),
        ("Write for Mara", "Write for Dovan", False),
        ("one million people", "one billion people", False),
        ("Is the letter a a vowel", "Is the letter b a vowel", False),
        ("Is it legal", "Is it illegal", False),
        ("Can I swim here", "Can't I swim here", False),
        ("Is it safe", "Is it not safe", False),
        ("写一首诗", "写一本书", False),
    ],
)
def test_prompts_that_ask_the_same(one, other, same):
    assert ask_the_same(words(one), words(other)) is same
    assert ask_the_same(words(other), words(one)) is same


def test_near_contradictions_are_seen_from_both_sides():
    found = fit(
        ("Which text is better?", LONG, OTHER),
        ("Which text is better?", OTHER, LONG + " So be it."),
        ("Which text is better?", LONG, OTHER + " So be it."),
    )
    assert found["near.contradicts"].to_list() == [True] * 3
    assert found["near.cluster"].to_list() == [0, 0, 0]


def test_a_copy_contradicts_what_its_first_contradicts():
    found = fit(("Which?", LONG, OTHER), ("which", LONG.upper(), OTHER), ("Which?", OTHER + " Yes.", LONG))
    assert found["near.contradicts"].to_list() == [True] * 3
    assert found["near.like"].to_list() == [None, 0, 0]


def test_sides_that_cannot_be_told_apart_contradict_nothing():
    found = fit(("Which text is better?", LONG, LONG + "!"), ("Which text is better?", LONG + "!", LONG))
    assert not found["near.contradicts"].any()
    assert found["near.like"].to_list() == [None, 0]


def test_a_chain_prefers_the_row_that_a_greedy_pass_keeps():
    """B is like A; C is like both, more like B; D is like C's end alone."""
    tokens = [f"w{k}" for k in range(60)]

    def text(dropped, more):
        return " ".join(tokens[dropped:] + [f"z{k}" for k in range(more)])

    found = fit(*(("Go on.", text(k, k), "x") for k in (0, 3, 4, 9)))
    assert found["near.like"].to_list() == [None, 0, 0, 2]
    assert found["near.cluster"].to_list() == [0] * 4


def test_row_keys_are_named_not_positions():
    frame = frame_of(("Hi", LONG, OTHER), ("Hi!", LONG, OTHER), start=1 << 50)
    assert near_duplicates.fit(frame, near_duplicates.Config())["near.like"].to_list() == [None, 1 << 50]


def test_turns_are_told_apart():
    def row(*turns):
        roles = ("user", "assistant")
        prompt = [{"role": roles[k % 2], "content": text} for k, text in enumerate(turns)]
        return {"row": 0, "prompt": prompt, "chosen": "Yes.", "rejected": "No."}

    frame = pl.DataFrame([row("a b", "c d", "e f"), row("e f", "c d", "a b"), row("a b", "c d", "E f")])
    found = near_duplicates.fit(frame, near_duplicates.Config())
    # Sets know no order: the first two are near, with J = 1; only the third is the first in normal form.
    assert found["near.cluster"].to_list() == [0, 0, 0]
    assert found["near.jaccard"].to_list() == [None, 1.0, 1.0]


def test_nothing_and_signs_only():
    assert near_duplicates.fit(frame_of(("a", "b", "c"))[:0], near_duplicates.Config()).height == 0
    found = fit(
        ("🙂", "!!!", "???"),
        ("🙂", "!!", "???"),
        ("🙂", "!!!", "???"),
        ("今天好", "今", "天"),
        ("今天好", "今", "天。"),
    )
    assert found["near.like"].to_list() == [None, None, 0, None, 3]


def test_a_senseless_threshold_is_one_line():
    with pytest.raises(BadInput, match="threshold is 0"):
        fit(("a", "b", "c"), threshold=0.0)


PHRASES = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "7", "8"]), min_size=1, max_size=7).map(" ".join)


def is_near(one, other, threshold):
    """The definition, on plain sets."""

    def alike(left, right):
        left, right = words(left), words(right)
        return len({*left} & {*right}) >= 0.5 * len({*left} | {*right}) and say_the_same(left, right)

    straight = alike(one[1], other[1]) and alike(one[2], other[2])
    crossed = alike(one[1], other[2]) and alike(one[2], other[1])
    return (straight or crossed) and defects.jaccard(Sides(*one), Sides(*other)) >= threshold - 1e-12


@settings(max_examples=60)
@given(st.lists(st.tuples(PHRASES, PHRASES, PHRASES), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_all_near_pairs_are_found_in_any_order(pairs, dice):
    """Every pair at J >= 0.5 is in one cluster whatever the order of the rows, and what is named is as near as it says."""
    order = list(range(len(pairs)))
    dice.shuffle(order)
    config = {"threshold": 0.5, "siblings": False}
    found, turned = fit(*pairs, **config), fit(*(pairs[k] for k in order), **config)
    for name in ("near.cluster", "near.prompt_cluster"):
        label_N, back_N = found[name].to_numpy(), np.empty(len(pairs), np.int64)
        back_N[order] = turned[name].to_numpy()
        assert np.array_equal(label_N[:, None] == label_N, back_N[:, None] == back_N)
    assert found["near.contradicts"].to_list() == [
        turned["near.contradicts"][order.index(k)] for k in range(len(pairs))
    ]
    for k, (like, jaccard) in enumerate(found.select("near.like", "near.jaccard").iter_rows()):
        near = [j for j in range(k) if is_near(pairs[j], pairs[k], 0.5)]
        assert (like is not None) == bool(near)
        if like is not None:
            assert like in near
            assert jaccard == pytest.approx(defects.jaccard(Sides(*pairs[like]), Sides(*pairs[k])))


class Tally:
    """Planted against found, over worlds."""

    def __init__(self):
        self.planted, self.hit, self.contradicts = (defaultdict(int) for _ in range(3))
        self.flagged = self.false = 0

    def add(self, config):
        rows = [raw.data for raw in world.rows(config, 0)]
        frame = pl.DataFrame([to_row(world.to_record(data)) for data in rows]).with_row_index("row")
        found = near_duplicates.fit(frame.select(near_duplicates.READS), near_duplicates.Config())
        for data, like, contradicts in zip(rows, found["near.like"], found["near.contradicts"], strict=True):
            planted = data["planted"]
            real = planted["kind"] in ("copy", "near_copy", "contradiction", "near_contradiction")
            if real:
                exact = planted["kind"] in ("copy", "contradiction")
                near = planted["jaccard"]
                band = "equal" if exact else "0.9 to 1" if near >= 0.9 else "0.8 to 0.9" if near >= 0.8 else "below"
                self.planted[band] += 1
                self.hit[band] += like is not None
                if planted["kind"] == "near_contradiction" and near >= 0.8:
                    self.contradicts["planted"] += 1
                    self.contradicts["hit"] += contradicts
            self.flagged += like is not None
            self.false += like is not None and not real
            crossed = planted["contradicted"] or planted["near_contradicted"]
            self.contradicts["false"] += contradicts and not crossed

    def check(self):
        for band in ("equal", "0.8 to 0.9", "0.9 to 1"):
            assert self.hit[band] >= 0.95 * self.planted[band], band
        assert self.false <= 0.02 * self.flagged
        assert self.contradicts["hit"] >= 0.95 * self.contradicts["planted"]
        assert self.contradicts["false"] <= 0.02 * self.flagged


def test_the_bars_hold_on_two_worlds():
    tally = Tally()
    tally.add(world.Config(rows=1500, seed=901, near_copies=0.12, hard_negatives=0.06, near_contradictions=0.05))
    tally.add(world.Config(rows=1500, seed=902, near_copies=0.2, hard_negatives=0.1, copies=0.0, history=0.4))
    tally.check()
    assert tally.planted["0.8 to 0.9"] > 40


@pytest.mark.prove
def test_the_bars_hold_on_twenty_worlds_with_other_parameters():
    tally = Tally()
    for seed in range(1000, 1020):
        rng = stream(seed, "near duplicates")
        most = {"copies": 0.06, "near_copies": 0.15, "hard_negatives": 0.08, "contradictions": 0.04}
        most |= {"near_contradictions": 0.06, "leaks": 0.05, "length": 0.1, "artefacts": 0.1, "history": 0.3}
        shares = {name: float(rng.uniform(0, share)) for name, share in most.items()}
        tally.add(world.Config(rows=int(rng.integers(1500, 3001)), seed=seed, **shares))
    for band, planted in sorted(tally.planted.items()):
        print(f"Jaccard {band}: {tally.hit[band]} of {planted}")
    print(f"flagged {tally.flagged}, false {tally.false}; near contradictions {dict(tally.contradicts)}")
    tally.check()


def test_the_siblings_rule_is_what_keeps_hard_negatives_apart():
    """By Jaccard alone, a third of the hard negatives are taken for copies where the threshold is as low as their resemblance."""
    config = world.Config(rows=600, seed=903, near_copies=0.0, copies=0.0, hard_negatives=0.3)
    rows = [raw.data for raw in world.rows(config, 0)]
    frame = pl.DataFrame([to_row(world.to_record(data)) for data in rows]).with_row_index("row")
    hard = np.array([data["planted"]["kind"] == "hard_negative" for data in rows])

    def flagged(siblings):
        settings = near_duplicates.Config(threshold=0.55, siblings=siblings)
        found = near_duplicates.fit(frame.select(near_duplicates.READS), settings)
        return (found["near.like"].is_not_null().to_numpy() & hard).sum()

    assert flagged(siblings=False) > 0.3 * hard.sum()
    assert flagged(siblings=True) <= 0.02 * hard.sum()


def test_hash_seed_and_chunks_do_not_matter(monkeypatch):
    dice = random.Random(5)
    pairs = [(f"Ask {k % 7}", LONG if k % 3 else OTHER, f"No {dice.randrange(4)}") for k in range(40)]
    whole = fit(*pairs)
    monkeypatch.setattr(near_duplicates, "CHUNK", 3)
    monkeypatch.setattr(near_duplicates, "MOST_WORDS", 50)
    assert fit(*pairs).equals(whole)


def test_a_long_prompt_or_one_side_in_common_makes_no_copy():
    """Several answers to one passage are several pairs; so are two rivals of one long baseline."""
    passage = " ".join(f"word{k}" for k in range(300))
    answers = ("The king left in spring.", "Nobody knows who it was.", "Three ships came back home later.")
    found = fit(*((passage, answers[c], answers[r]) for c, r in ((0, 1), (0, 2), (1, 2))))
    assert found["near.like"].to_list() == [None, None, None]
    assert not found["near.contradicts"].any()
    assert found["near.prompt_cluster"].to_list() == [0, 0, 0]
    found = fit(*(("Tell me.", passage, answer) for answer in answers))
    assert found["near.like"].to_list() == [None, None, None]
    found = fit((passage, *answers[:2]), (passage, answers[1] + " Sure.", answers[0]))
    assert found["near.contradicts"].to_list() == [True, True]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The king left in spring.", "the King left, in spring", True),
        ("The colour of the sea is a deep blue.", "The color of the sea is a deep blue.", True),
        ("It is so.", "I think it is so.", True),
        ("She was born in 1912 in Rome.", "She was born in 1913 in Bonn.", False),
        ("Use a list here, it is short.", "Use a tree there, it is quick.", False),
        ("", "", True),
    ],
)
def test_sides_that_say_the_same(one, other, same):
    assert say_the_same(words(one), words(other)) is same
    assert say_the_same(words(other), words(one)) is same


def test_the_same_answer_but_for_the_fact_that_was_asked_contradicts_nothing():
    prompt = " ".join(f"word{k}" for k in range(60))
    base = "The tower was built by the old duke of the valley, as far as anybody in the town can tell today."
    found = fit((prompt, base + " In 1912.", base + " In 1850."), (prompt, base + " In 1850.", base + " In 1740."))
    assert not found["near.contradicts"].any()
