"""One tiny model for all tests of core.llm; float64, so that batch and single rows agree to the last choice."""

import random

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from skyloom.core.llm.backbones import load_backbone, load_tokenizer
from skyloom.core.llm.config import BackboneConfig

WORDS = ("a", "the", "box", "holds", "red", "green", "apples", "nuts", "how", "many", "are", "left", "answer", "is")


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=12)) + f" {draw.randrange(10_000)}." for _ in range(400)]


@pytest.fixture(scope="session")
def config() -> BackboneConfig:
    return BackboneConfig(hidden=32, layers=2, heads=2, vocab=300, max_length=96, dtype="float64")


@pytest.fixture(scope="session")
def tokenizer(corpus: list[str], config: BackboneConfig) -> PreTrainedTokenizerBase:
    return load_tokenizer(config, corpus)


@pytest.fixture(scope="session")
def model(config: BackboneConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    return load_backbone(config, tokenizer, "causal", seed=5)


@pytest.fixture(scope="session")
def lively(config: BackboneConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """With larger weights: as made, a tied model says its last token again."""
    model = load_backbone(config, tokenizer, "causal", seed=5)
    for name, weight in model.named_parameters():
        if "layers" in name and weight.dim() == 2:
            weight.data *= 15
    return model
