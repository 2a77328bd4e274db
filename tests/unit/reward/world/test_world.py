"""The preference world: disjoint parts, planted defects, and no way to win without reading."""

from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.records import to_row
from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.core.text.normal import words
from skyloom.reward.annotate import scores
from skyloom.reward.decide import top_k
from skyloom.reward.evals._scoring import MARKDOWN
from skyloom.reward.sources import world
from skyloom.reward.world import defects
from skyloom.reward.world.defects import Sides
from skyloom.reward.world.language import language
from skyloom.reward.world.tasks import SECTIONS, Dice, draft

CONFIG = world.Config(rows=2000, eval_rows=800)


@pytest.fixture(scope="module")
def train():
    return [raw.data for raw in world.rows(CONFIG, 0)]


@pytest.fixture(scope="module")
def held_out():
    return [raw.data for raw in world.rows(world.Config(part="eval", rows=800), 0)]


def last_turn(data):
    return data["prompt"][-1]["content"]


def text_of(data):
    return last_turn(data), data["chosen"], data["rejected"]


def by_kind(rows, *kinds):
    return [data for data in rows if data["planted"]["kind"] in kinds]


def test_one_seed_one_world_and_another_seed_another():
    first = [raw.data for raw in world.rows(world.Config(rows=200), 0)]
    assert first == [raw.data for raw in world.rows(world.Config(rows=200), 0)]
    assert first != [raw.data for raw in world.rows(world.Config(rows=200, seed=1), 0)]


def test_shards_share_no_prompt_but_by_design():
    config = world.Config(rows=600, parts=3, leaks=0.0, copies=0, near_copies=0, hard_negatives=0, contradictions=0)
    prompts = [{last_turn(raw.data) for raw in world.rows(config, shard)} for shard in range(3)]
    assert sum(map(len, prompts)) == len(set().union(*prompts)) == 600


def test_parts_share_no_eight_words_unless_planted(train, held_out):
    index = NgramIndex.build([last_turn(data) for data in held_out], Rule(n=8))
    clean = [data for data in train if not data["planted"]["kind"].startswith("leak")]
    texts = [text for data in clean for text in (last_turn(data), data["chosen"], data["rejected"])]
    # A hard negative or a near copy is made of training rows, so it must be clean as well.
    assert index.query(texts).height == 0
    leaks = by_kind(train, "leak_verbatim", "leak_embedded", "leak_response")
    found = [index.query([last_turn(data), data["chosen"], data["rejected"]]).height > 0 for data in leaks]
    assert all(found)


def test_short_evaluation_prompts_are_leaked_too(train):
    leaks = by_kind(train, "leak_verbatim", "leak_embedded")
    assert min(len(words(last_turn(data))) for data in leaks) <= 7


def test_the_planted_shares_are_there(train):
    kinds = Counter(data["planted"]["kind"] for data in train)
    for name, share in (("copy", 0.04), ("near_copy", 0.04), ("hard_negative", 0.03), ("contradiction", 0.02)):
        assert kinds[name] == pytest.approx(2000 * share, abs=30), name
    assert kinds["artefact"] == pytest.approx(120, abs=35)
    assert kinds["length"] == pytest.approx(100, abs=32)
    assert sum(kinds[f"leak_{how}"] for how in ("verbatim", "embedded", "response")) == pytest.approx(60, abs=25)
    plain = by_kind(train, "")
    assert np.mean([not data["planted"]["right"] for data in plain]) == pytest.approx(0.1, abs=0.025)


def test_near_copies_and_hard_negatives_span_the_range(train):
    for kind in ("near_copy", "hard_negative"):
        near = [data["planted"]["jaccard"] for data in by_kind(train, kind)]
        assert min(near) >= defects.NEAR_LOW
        assert max(near) <= defects.NEAR_HIGH
        assert np.ptp(near) > 0.25, kind
    for data in by_kind(train, "hard_negative"):
        assert last_turn(data) != last_turn(train[data["planted"]["like"]])


def test_copies_point_at_an_earlier_row_that_equals_them(train):
    for kind in ("copy", "contradiction"):
        for k, data in enumerate(train):
            if data["planted"]["kind"] == kind:
                first = train[data["planted"]["like"]]
                assert data["planted"]["like"] < k
                sides = [" ".join(data[side].casefold().split()) for side in ("chosen", "rejected")]
                if kind == "contradiction":
                    sides.reverse()
                assert sides == [" ".join(first[side].casefold().split()) for side in ("chosen", "rejected")]


def test_near_contradictions_are_edited_swapped_and_off_by_default(train):
    assert not by_kind(train, "near_contradiction")
    rows = [raw.data for raw in world.rows(world.Config(rows=1000, near_contradictions=0.1, label_noise=0.0), 0)]
    edited = by_kind(rows, "near_contradiction")
    assert len(edited) == pytest.approx(100, abs=35)
    truths = [world.truth(data) for data in rows]
    assert sum(truth["near_contradiction"] for truth in truths) == 2 * len(edited)
    for data in edited:
        first = rows[data["planted"]["like"]]
        pairs = [Sides(last_turn(each), each["chosen"], each["rejected"]) for each in (first, data)]
        assert first["planted"]["right"]
        assert not data["planted"]["right"]
        near = defects.jaccard(*pairs)
        assert near == pytest.approx(data["planted"]["jaccard"], abs=1e-4)
        assert defects.NEAR_LOW <= near <= defects.NEAR_HIGH
        alike = Counter(words(data["chosen"])) & Counter(words(first["rejected"]))
        assert alike.total() >= 1


def test_a_near_copy_may_add_words_respell_contract_punctuate_and_mistype():
    """Each kind of edit turns up in a few hundred near copies, and some copies hold words that the first one lacks and the reverse."""
    rows = [raw.data for raw in world.rows(world.Config(rows=1200, near_copies=0.4, copies=0.0), 0)]
    edited = by_kind(rows, "near_copy")
    assert len(edited) > 200
    lost, won = Counter(), Counter()
    for data in edited:
        first = rows[data["planted"]["like"]]
        before, after = (Counter(words(" ".join(text_of(each)))) for each in (first, data))
        lost.update((before - after).keys())
        won.update((after - before).keys())
    assert {"neighbor", "harbor", "cannot"} <= lost.keys()
    assert {"neighbour", "harbour", "can", "it's", "i'm", "please", "very"} <= won.keys()
    typos = {word for word in won if any(word != old and sorted(word) == sorted(old) for old in lost)}
    assert len(typos) > 20
    assert sum(";" in text for data in edited for text in text_of(data)) > 5


def test_an_evaluation_prompt_leaks_once_at_most():
    rows = [raw.data for raw in world.rows(world.Config(rows=1500, eval_rows=30, leaks=0.3), 0)]
    asked = [last_turn(raw.data) for raw in world.rows(world.Config(part="eval", rows=30), 0)]
    leaked = [last_turn(data) for data in by_kind(rows, "leak_verbatim", "leak_embedded")]
    assert len(leaked) > 20
    for prompt in asked:
        assert sum(prompt in text for text in leaked) <= 1


def test_truth_has_a_flag_for_every_defect_and_both_rows_of_a_contradiction(train):
    truths = [world.truth(data) for data in train]
    assert all(isinstance(truth[kind], bool) for truth in truths for kind in world.KINDS)
    later = sum(data["planted"]["kind"] == "contradiction" for data in train)
    assert sum(truth["contradiction"] for truth in truths) == 2 * later
    assert sum(truth["leak"] for truth in truths) == len(
        by_kind(train, "leak_verbatim", "leak_embedded", "leak_response")
    )


def test_the_annotator_overrates_the_weakest_generator(train):
    score, quality = defaultdict(list), defaultdict(list)
    for data in by_kind(train, ""):
        score[data["origin"]].append((data["score_chosen"] + data["score_rejected"]) / 2)
        quality[data["origin"]].append(data["planted"]["quality"])
    assert np.mean(quality["amber"]) < np.mean(quality["birch"]) < np.mean(quality["cedar"])
    assert np.mean(score["amber"]) > np.mean(score["birch"])


def test_the_evaluation_part_is_clean(held_out):
    assert all(data["planted"]["right"] and not data["planted"]["kind"] for data in held_out)
    sections = Counter(data["category"] for data in held_out)
    for tasks in SECTIONS.values():
        dice = Dice(np.random.default_rng(0), np.random.default_rng(0))
        names = {task(dice, language(), "Mara").subset for task, _ in tasks}
        assert sum(sections[name] for name in names) == 200


SURFACE = {
    "longest": len,
    "shortest": lambda text: -len(text),
    "most words": lambda text: len(text.split()),
    "markdown": lambda text: len(MARKDOWN.findall(text)),
    "punctuation": lambda text: sum(not c.isalnum() and not c.isspace() for c in text),
    "capitals": lambda text: sum(c.isupper() for c in text),
    "digits": lambda text: sum(c.isdigit() for c in text),
    "questions": lambda text: text.count("?"),
    "lines": lambda text: text.count("\n"),
    "distinct words": lambda text: len(set(text.lower().split())),
}


def clean(train):
    """Rows outside the planted shortcuts (length, artefact), with the true label first."""
    rows = by_kind(train, "", "near_copy", "hard_negative")
    return [(d["chosen"], d["rejected"]) if d["planted"]["right"] else (d["rejected"], d["chosen"]) for d in rows]


@pytest.mark.parametrize("name", SURFACE)
def test_no_surface_baseline_passes_sixty_percent(train, held_out, name):
    """Ties count as half, which favours the baseline more than RewardBench's rule does."""
    score = SURFACE[name]
    for pairs in (clean(train), [(data["chosen"], data["rejected"]) for data in held_out]):
        share = np.mean([(np.sign(score(right) - score(wrong)) + 1) / 2 for right, wrong in pairs])
        assert 0.4 < share < 0.6, name


def test_no_first_word_or_bag_of_words_wins(train, held_out):
    """A linear model on the words of the responses alone, fitted on training rows with true labels, stays at chance."""
    for features in (lambda text: text.split()[:1], lambda text: text.lower().split()):
        vocabulary: dict[str, int] = {}
        fit, test = clean(train), [(data["chosen"], data["rejected"]) for data in held_out]
        for pair in fit:
            for text in pair:
                for token in features(text):
                    vocabulary.setdefault(token, len(vocabulary))

        def matrix(pairs, features=features, vocabulary=vocabulary):
            table = np.zeros((len(pairs), len(vocabulary)))
            for k, pair in enumerate(pairs):
                for sign, text in zip((1, -1), pair, strict=True):
                    for token in features(text):
                        if token in vocabulary:
                            table[k, vocabulary[token]] += sign
            return table

        x = matrix(fit)
        # Ridge regression of "the first side is right" on both orders: antisymmetric, so no intercept.
        weights = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ np.ones(len(x)))
        share = np.mean((np.sign(matrix(test) @ weights) + 1) / 2)
        assert share < 0.6


def test_the_planted_shortcuts_do_win_where_they_are_planted(train):
    padded = by_kind(train, "length")
    longer = [len(d["chosen"]) > len(d["rejected"]) for d in padded]
    assert all(longer)
    assert all(
        defects.CONTROL in d["rejected"] and defects.CONTROL not in d["chosen"] for d in by_kind(train, "artefact")
    )


def test_a_twist_changes_the_meaning_and_keeps_the_looks():
    for index in range(0, 40):
        first, second = draft(0, "train", index, 0), draft(0, "train", index, 0, twist=1)
        assert first.subset == second.subset
        assert first.right != first.wrong


def test_senseless_shares_are_refused():
    with pytest.raises(BadInput, match="shares"):
        list(world.rows(world.Config(copies=0.9, length=0.9), 0))
    with pytest.raises(BadInput, match="at least 1"):
        list(world.rows(world.Config(rows=0), 0))


def test_taking_the_offset_out_of_the_scores_selects_better_labels(train):
    """What top_k is for: with the annotator's bias taken out, fewer wrong labels and fewer weak pairs are kept."""
    rows = by_kind(train, "")
    frame = pl.DataFrame([to_row(world.to_record(data)) for data in rows]).select(scores.READS)
    ledger = scores.annotate(frame, scores.Config()).with_columns(pl.lit(True).alias("alive"))
    truths = [data["planted"] for data in rows]

    def kept(offsets):
        reasons = top_k.decide(ledger, top_k.Config(share=0.4, offsets=offsets)).to_list()
        return [truth for truth, reason in zip(truths, reasons, strict=True) if reason is None]

    def wrong(some):
        return np.mean([not truth["right"] for truth in some])

    biased, fair = kept({}), kept({world.BIASED: -CONFIG.generator_bias})
    assert abs(len(biased) - len(fair)) == 0
    assert np.mean([truth["quality"] for truth in fair]) > np.mean([truth["quality"] for truth in biased]) + 0.05
    assert wrong(fair) < wrong(truths) * 0.8
    assert wrong(fair) < wrong(biased)
