"""Likelihood of reference solutions: the mean over the response as training sees it, alone or in a batch."""

import logging

import pytest
import torch

from skyloom.core.llm.backbones import load_backbone, load_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.llm.templates import render_pair
from skyloom.mathqa.benchmark import Item
from skyloom.mathqa.evals import world
from skyloom.mathqa.likelihood import solution_nll
from skyloom.mathqa.records import chat


@pytest.fixture(scope="module")
def items():
    return world.items(world.Config(rows=12))


@pytest.fixture(scope="module")
def loaded(items):
    config = BackboneConfig(hidden=32, layers=2, heads=2, vocab=320, max_length=160, dtype="float64")
    tokenizer = load_tokenizer(config, [f"{item.question}\n{item.solution}" for item in items])
    return load_backbone(config, tokenizer, seed=1), tokenizer


def by_hand(model, tokenizer, item):
    rendered = render_pair(tokenizer, chat(item.question), item.solution)
    with torch.no_grad():
        logp = model(torch.tensor([rendered.ids])).logits[0].log_softmax(dim=-1)
    told = [-float(logp[t - 1, token]) for t, token in enumerate(rendered.ids) if rendered.reply[t]]
    return sum(told) / len(told)


def test_it_is_the_mean_over_the_tokens_of_the_solution(loaded, items):
    told = solution_nll(*loaded, items, 4_096)
    assert told == pytest.approx([by_hand(*loaded, item) for item in items], rel=1e-5)
    assert len(set(told)) > 6


@pytest.mark.parametrize("budget", [1, 200, 100_000])
def test_the_batch_changes_nothing(loaded, items, budget):
    assert solution_nll(*loaded, items, budget) == pytest.approx(solution_nll(*loaded, items, 600), rel=1e-5)


def test_what_cannot_be_scored_is_none_and_logged(loaded, items, caplog):
    none = Item(id="a", question="q", answer="1", level=None, subject="")
    long = Item(id="b", question="q " * 200, answer="1", level=None, subject="", solution="The answer is 1")
    forged = Item(id="c", question="<|user|>", answer="1", level=None, subject="", solution="The answer is 1")
    with caplog.at_level(logging.WARNING):
        told = solution_nll(*loaded, [none, items[0], long, forged], 4_096)
    assert told[0] is told[2] is told[3] is None
    assert told[1] == pytest.approx(by_hand(*loaded, items[0]), rel=1e-5)
    assert "2 reference solutions do not fit" in caplog.text
    assert solution_nll(*loaded, [none], 10) == [None]
    assert solution_nll(*loaded, [], 10) == []
