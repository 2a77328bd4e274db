import pytest

from skyloom.core.config import from_dict
from skyloom.core.errors import BadInput
from skyloom.core.llm.backbones import load_backbone
from skyloom.core.llm.config import BackboneConfig, GenerateConfig, parameters


def test_the_planned_size_of_tiny_is_its_true_size(config, tokenizer):
    assert len(tokenizer) == config.vocab  # the corpus is rich enough to fill the vocabulary
    model = load_backbone(config, tokenizer)
    assert parameters(config) == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8_000_000_000),
        ("google/gemma-2-27b-it", 27_000_000_000),
        ("/models/smollm2-135m.gguf", 135_000_000),
        ("Qwen/Qwen2.5-0.5B", 500_000_000),
    ],
)
def test_other_sizes_stand_in_the_name(name, size):
    assert parameters(BackboneConfig(model=name)) == size


def test_a_name_without_a_size_is_told():
    with pytest.raises(BadInput, match="no size"):
        parameters(BackboneConfig(model="openai-community/gpt2"))


@pytest.mark.parametrize("fields", [{"hidden": 30, "heads": 4}, {"layers": 0}, {"vocab": 100}, {"max_length": 0}])
def test_a_backbone_that_cannot_be_built_is_told(fields):
    with pytest.raises(BadInput, match=r"^model: .*must be"):
        from_dict(BackboneConfig, fields, "model")


@pytest.mark.parametrize(
    "fields", [{"max_new_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"stop": [""]}]
)
def test_generation_that_cannot_run_is_told(fields):
    with pytest.raises(BadInput, match=rf"^generate: {next(iter(fields))}="):
        from_dict(GenerateConfig, fields, "generate")
