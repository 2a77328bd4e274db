"""Texts as points: what is near, what is the same on every machine, and sentence models from a folder."""

import json
from itertools import pairwise

import numpy as np
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.text.embed import DIMS, EmbedConfig, embed, inputs

TEXTS = [
    "Anna has 6 stamps and gets 9 more. How many stamps does Anna have now?",
    "Anna has 17 stamps and gets three more.  How many stamps does Anna have NOW?",
    "Ben has 6 coins and gets 9 more. How many coins does Ben have now?",
    "What is the area of a circle of radius 5?",
]


def test_near_texts_are_near_points():
    point_TD = embed(TEXTS, EmbedConfig())
    assert point_TD.shape == (4, DIMS)
    assert point_TD.dtype == np.float32
    assert np.allclose(np.linalg.norm(point_TD, axis=1), 1)
    assert np.array_equal(point_TD[0], point_TD[1])  # other numbers, case and blanks: one problem
    like = point_TD @ point_TD.T
    assert 1 > like[0, 2] > 0.4 > like[0, 3]


def test_a_text_without_words_is_the_zero_vector():
    point_TD = embed(["", " ?! ", "x"], EmbedConfig())
    assert not point_TD[:2].any()
    assert np.linalg.norm(point_TD[2]) == pytest.approx(1)
    assert embed([], EmbedConfig()).shape == (0, DIMS)


def test_a_text_does_not_depend_on_its_neighbours():
    assert np.array_equal(embed(TEXTS, EmbedConfig())[2], embed(TEXTS[2:3], EmbedConfig())[0])


def test_hashing_keeps_the_likeness_of_the_features():
    """The cosine of two texts without hashing, over distinct words: the projection's error is about 1 / sqrt(384) = 0.05."""
    shared = [f"w{'abcdefghij'[k // 10]}{'abcdefghij'[k % 10]}q" for k in range(60)]
    one, other = " ".join(shared[:40]), " ".join(shared[20:])
    like = float(np.prod(embed([one, other], EmbedConfig()), axis=0).sum())
    assert like == pytest.approx(_cosine(one, other), abs=0.15)


def _cosine(one, other):
    def features(text):
        words, found = text.split(), {}
        kinds = [
            (2, words),
            (2, list(pairwise(words))),
            (1, [text[k : k + 3] for k in range(len(text) - 2)]),
        ]
        for weight, each in kinds:
            for feature in set(each):
                found[weight, feature] = weight * each.count(feature) ** 0.5
        return found

    a, b = features(one), features(other)
    dot = sum(value * b.get(key, 0.0) for key, value in a.items())
    return dot / (sum(v * v for v in a.values()) * sum(v * v for v in b.values())) ** 0.5


@pytest.fixture(scope="module")
def sentence_model(tmp_path_factory):
    """A random BERT of two layers with a word-piece vocabulary of single characters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("sentences")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz0123456789?.+="]
    vocab = {piece: k for k, piece in enumerate(pieces)} | {f"##{c}": len(pieces) + k for k, c in enumerate(pieces[4:])}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocab), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                max_position_embeddings=64,
            )
        )  # fmt: skip
    model.save_pretrained(folder)
    return folder


def test_a_sentence_model_from_a_folder(sentence_model):
    config = EmbedConfig(model=str(sentence_model))
    texts = ["anna has 6 stamps", "a", "what is 2 + 2?", "x " * 200, ""]
    point_TD = embed(texts, config)
    assert point_TD.shape == (5, 32)
    assert np.allclose(np.linalg.norm(point_TD, axis=1), 1, atol=1e-6)
    single = np.concatenate([embed([text], config) for text in texts])
    assert np.abs(point_TD - single).max() < 1e-5  # padding and order change nothing
    assert np.array_equal(point_TD, embed(texts, config))
    assert embed([], config).shape == (0, 32)
    assert inputs(config) == (sentence_model,)
    assert inputs(EmbedConfig()) == ()


def test_the_mean_over_tokens_is_what_the_model_gives(sentence_model):
    import torch
    from transformers import AutoModel, AutoTokenizer

    texts = ["how many stamps does anna have now?"]
    model, tokenizer = AutoModel.from_pretrained(sentence_model), AutoTokenizer.from_pretrained(sentence_model)
    with torch.inference_mode():
        hidden = model(**tokenizer(texts, return_tensors="pt")).last_hidden_state[0].mean(dim=0).numpy()
    got = embed(texts, EmbedConfig(model=str(sentence_model)))[0]
    assert np.abs(got - hidden / np.linalg.norm(hidden)).max() < 1e-5


def test_what_is_no_sentence_model_is_refused(tmp_path, sentence_model):
    for model in ("missing", str(tmp_path)):
        with pytest.raises(BadInput, match=r"no folder with a config\.json"):
            embed(["x"], EmbedConfig(model=model))
    other = tmp_path / "other"
    other.mkdir()
    for file in sentence_model.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "1_Pooling").mkdir()
    (other / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    with pytest.raises(BadInput, match="another pooling"):
        embed(["x"], EmbedConfig(model=str(other)))
    (other / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    assert embed(["x"], EmbedConfig(model=str(other))).shape == (1, 32)
    (other / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BadInput, match="cannot be loaded"):
        embed(["x"], EmbedConfig(model=str(other)))
    with pytest.raises(ValueError, match="max_tokens"):
        EmbedConfig(max_tokens=2)
