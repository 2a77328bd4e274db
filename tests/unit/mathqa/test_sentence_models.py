"""What is near by a sentence model from a folder: near duplicates and the layer `near` of the item index, with a tiny random encoder."""

import numpy as np
import polars as pl
import pytest

from skyloom.core.text.embed import EmbedConfig, embed
from skyloom.core.text.items import ItemIndex, ItemRule
from skyloom.core.text.latex import plain
from skyloom.core.text.normal import normal
from skyloom.mathqa.annotate import near_duplicates

QUESTIONS = tuple(
    f"{who} has 4 {what} and {does} 9 more. How many {what} does {who} have {when}?"
    for who in ("Anna", "Ben")
    for what in ("stamps", "coins")
    for does in ("gets", "buys")
    for when in ("now", "in the end")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random BERT of one layer over the characters of a text."""
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    out = tmp_path_factory.mktemp("encoder")
    vocab = {piece: k for k, piece in enumerate(["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz0123456789 "])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(out)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(BertConfig(vocab_size=len(vocab), max_position_embeddings=128, **shape)).save_pretrained(out)
    return out


def config_of(folder, cosine):
    return near_duplicates.Config(cosine=cosine, embed=EmbedConfig(model=str(folder)))


def asked(*rows):
    return pl.DataFrame([{"row": k, "question": q, "answer": a} for k, (q, a) in enumerate(rows)])


def test_each_question_is_like_the_nearest_earlier_one_by_the_models_points(folder):
    point_TD = embed([normal(plain(text)) for text in QUESTIONS], EmbedConfig(model=str(folder)))
    cosine_TT = np.tril(point_TD @ point_TD.T, -1)
    bar = float(np.median(cosine_TT[cosine_TT > 0]))
    got = near_duplicates.fit(asked(*((text, "13") for text in QUESTIONS)), config_of(folder, bar))
    found = {
        row["near_duplicates.question"]: row for row in got.to_dicts() if row["near_duplicates.layer"] == "embedding"
    }
    assert 3 < len(found) < len(QUESTIONS)
    for later, row in found.items():
        assert row["near_duplicates.similarity"] == pytest.approx(cosine_TT[later].max(), abs=2e-3)
        assert cosine_TT[later, row["near_duplicates.like"]] == pytest.approx(cosine_TT[later].max(), abs=2e-3)
    for later in set(range(len(QUESTIONS))) - set(found):
        assert cosine_TT[later].max() < bar + 2e-3 or got["near_duplicates.layer"][later] == "minhash"


def test_the_models_points_do_not_soften_the_rules_about_numbers_and_answers(folder):
    other = QUESTIONS[1].replace("9", "8")
    frame = asked((QUESTIONS[0], "13"), (other, "12"), (other, "13"), (QUESTIONS[2], "14"))
    assert near_duplicates.fit(frame, config_of(folder, 0.01))["near_duplicates.like"].null_count() == 4


def test_the_model_is_loaded_once_for_many_questions_and_the_tiles_change_nothing(folder, monkeypatch):
    frame = asked(*((text, answer) for text in QUESTIONS for answer in ("13", "5", "x")))
    calls: list[int] = []
    real = near_duplicates.embed.embed
    monkeypatch.setattr(
        near_duplicates.embed, "embed", lambda texts, config: (calls.append(len(texts)), real(texts, config))[1]
    )
    whole = near_duplicates.fit(frame, config_of(folder, 0.9))
    assert calls == [frame.height]
    monkeypatch.setattr(near_duplicates, "EMBEDDED", 7)
    monkeypatch.setattr(near_duplicates, "PRODUCTS", 20)
    assert (
        near_duplicates.fit(frame, config_of(folder, 0.9))
        .drop("near_duplicates.similarity")
        .equals(whole.drop("near_duplicates.similarity"))
    )
    assert max(calls[1:]) == 7


def test_the_models_content_is_part_of_the_key(folder):
    assert near_duplicates.inputs(config_of(folder, 0.9)) == (folder,)
    assert near_duplicates.inputs(config_of(folder, None)) == ()


def test_items_that_near_leaves_out_are_never_near(folder):
    index = ItemIndex.build(["Simplify!", QUESTIONS[0]], ["short", "long"], ItemRule(model=str(folder)))
    found = index.query(["", "?!", "Expand?", QUESTIONS[3]], masked=False, near=0.01)
    assert set(found["item"]) == {"long"}
    assert set(found["query"]) == {3}
