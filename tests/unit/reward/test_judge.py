"""The linear judge: what it can read, what it cannot, and that one set of pairs gives one judge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.sparse import csr_array

from skyloom.core.errors import BadInput
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.reward.judge import BITS, LinearConfig, Reader, _logistic, learn, linear, trained
from skyloom.reward.records import Pair
from skyloom.reward.settings import TrainConfig

CONFIG = LinearConfig()
WORDS = ["anchor", "rose", "drum", "comet", "tide", "fern", "flute", "moon", "sail", "seed", "harp", "reef"]
RARE = [head + tail for head in WORDS for tail in ("s", "like", "wood", "land")]
texts = st.lists(st.sampled_from(["a", "B", "é", "7", "?", '"', "\n", "- x", "漢", " "]), max_size=12).map("".join)


def make(prompt, chosen, rejected):
    return Pair(prompt=(Message(role="user", content=prompt),), chosen=chosen, rejected=rejected)


def capitals(rng):
    said = " ".join(rng.choice(WORDS, 5)).capitalize() + "."
    sides = (said.upper(), said)
    return make("Write in capitals.", *sides) if rng.random() < 0.5 else make("Write in lower case.", *sides[::-1])


def demanded(rng):
    first, second = (str(word) for word in rng.choice(RARE, 2, replace=False))
    sides = (f"Here is the {first} for you.", f"Here is the {second} for you.")
    asked = rng.random() < 0.5
    return make(f"{'Use' if asked else 'Never say'} the word {first}.", *(sides if asked else sides[::-1]))


def crossed(rng):
    topic = int(rng.integers(2))
    sides = [f"A {rng.choice(WORDS[k::2])} and a {rng.choice(WORDS[k::2])}." for k in (topic, 1 - topic)]
    return make(f"Tell me about {('sea', 'garden')[topic]}.", *sides)


@pytest.mark.parametrize("task", [capitals, demanded, crossed])
def test_it_reads_the_prompt_and_not_the_response_alone(task):
    rng = stream(5, "judge", task.__name__)
    pairs = [task(rng) for _ in range(600)]
    learnt, judged = np.arange(400), np.arange(400, 600)
    assert (linear(pairs, CONFIG)(learnt, judged) > 0).mean() > 0.95
    mute = [make("?", pair.chosen, pair.rejected) for pair in pairs]
    assert (linear(mute, CONFIG)(learnt, judged) > 0).mean() < 0.62


def test_a_margin_is_the_gap_of_two_scores_and_scores_need_no_pair():
    rng = stream(6, "judge")
    pairs = [capitals(rng) for _ in range(120)]
    prompts = [pair.prompt[0].content for pair in pairs]
    chosen, rejected = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    reader = Reader(prompts, [*chosen, *rejected], CONFIG)
    judge = learn(reader, reader.differences(prompts, chosen, rejected), CONFIG)
    gap = judge.score(prompts, chosen) - judge.score(prompts, rejected)
    assert gap == pytest.approx(judge.margins(reader.differences(prompts, chosen, rejected)))
    assert judge.score(["Write in capitals."] * 2, ["A NEW ONE", "a new one"]).argmax() == 0


@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=6))
def test_swapped_sides_give_the_opposite_features_and_any_text_can_be_read(rows):
    prompts, one, two = (list(column) for column in zip(*rows, strict=True))
    reader = Reader(prompts, [*one, *two], LinearConfig(least=1))
    straight, crossed = reader.differences(prompts, one, two), reader.differences(prompts, two, one)
    assert straight.shape == (len(rows), 1 << BITS)
    assert (straight + crossed).count_nonzero() == 0
    assert reader.differences(prompts, one, one).nnz == 0


@given(st.integers(0, 50))
def test_the_fit_is_the_minimum(seed):
    rng = stream(seed, "logistic")
    x = rng.integers(-2, 3, (30, 5)).astype(float)
    found = _logistic(csr_array(x), np.zeros(5), 0.5)

    def objective(w):
        return np.logaddexp(0, -(x @ w)).sum() + 0.25 * w @ w

    assert objective(found) == pytest.approx(minimize(objective, np.zeros(5), tol=1e-10).fun, rel=1e-5)


def test_what_a_text_costs_is_bounded():
    reader = Reader(["p q r s"] * 3, ["x y z"] * 3, LinearConfig(most_prompt_words=4, most_response_words=8, least=1))
    rng = stream(7, "cost")
    vocabulary = [f"w{k}" for k in range(3000)]
    long = " ".join(rng.choice(vocabulary, 4000))
    big = Reader([long] * 3, [long] * 3, LinearConfig(most_prompt_words=4, most_response_words=8, least=1))
    different = len(set(long.split()))
    # Words and word pairs alone, 4 x 8 crosses, looks, and what stands around repeated words: linear in the text.
    assert different + 4 * 8 < big.sides([long], [long]).nnz <= different + 4000 + 4 * 8 + 5 * 40 + 2 * 4000
    assert reader.sides(["p"], ["x"]).nnz < 60


def test_without_evidence_everything_scores_nothing():
    pairs = [make("q", "yes", "no"), make("q", "no", "yes")] * 20
    assert (linear(pairs, CONFIG)(np.arange(40), np.arange(40)) == 0).all()
    assert (linear(pairs, CONFIG)(np.arange(0), np.arange(3)) == 0).all()
    assert linear([], CONFIG)(np.arange(0), np.arange(0)).shape == (0,)


@pytest.mark.parametrize("wrong", [{"evidence": -1.0}, {"l2": 0.0}, {"least": 0}, {"rare": 1.5}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadInput, match="judge: evidence"):
        linear([make("q", "a", "b")], LinearConfig(**wrong))


def test_the_real_reward_model_can_take_its_place():
    backbone = BackboneConfig(hidden=16, layers=1, heads=2, max_length=48, vocab=300)
    config = TrainConfig(
        backbone=backbone,
        optim=TrainerConfig(lr=1e-2, threads=1),
        epochs=2,
        batch_pairs=8,
        budget=256,
        valid_share=0.3,
        evaluations=1,
    )
    pairs = [make(f"question {k}", "good answer", f"bad {'long ' * (k % 4)}answer") for k in range(40)]
    pairs.append(make("question", "good answer", "bad " * 200))
    margins = trained(pairs, config)(np.arange(32), np.arange(32, 41))
    assert (margins[:-1] > 0).all()
    assert np.isnan(margins[-1]), "a side above max_length cannot be judged"
