"""Scores: the same whatever stands in the batch, the same in plain transformers, and one line for a model that cannot be used."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

from reward_models import TINY, alike, backbone, make_pairs, small_tokenizer, talk
from skyloom.core.errors import BadInput, BadRow, FailedWork
from skyloom.core.llm.backbones import END, load_backbone, save_backbone
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.rng import stream
from skyloom.core.store import write_json
from skyloom.reward.calibrate import FILE as CALIBRATION
from skyloom.reward.encoding import check_template, vocabulary_hash
from skyloom.reward.model import load_reward_model, new_reward_model, save_reward_model
from skyloom.reward.score import ABOUT, Scorer, read_about
from skyloom.reward.settings import ScoreConfig


def lively(config=TINY, seed=1, tokenizer=None):
    """A `tiny` reward model whose scores depend on the whole conversation."""
    tokenizer = tokenizer or small_tokenizer()
    model = new_reward_model(config, tokenizer, seed)
    with torch.no_grad():
        for name, weight in model.backbone.named_parameters():
            if "layers" in name and weight.dim() == 2:
                weight.mul_(15)
    return model.eval(), tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model, tokenizer = lively()
    out = tmp_path_factory.mktemp("score") / "model"
    save_reward_model(model, tokenizer, out)
    return out


@pytest.fixture
def broken(folder, tmp_path):
    """A copy to break."""
    return shutil.copytree(folder, tmp_path / "model")


def conversations():
    """Ragged groups of 1 to 5 replies, long and short prompts."""
    rng = stream(0, "conversations")
    return [
        (
            talk("question " * int(rng.integers(1, 12)) + str(k)),
            [f"good {'long ' * int(rng.integers(0, 9))}answer {j}" for j in range(1 + k % 5)],
        )
        for k in range(10)
    ]


def told(scorer, order=None):
    """Scores of all conversations, in order, scored in another order where one is given."""
    encoded = [scorer.encode(*each) for each in conversations()]
    order = range(len(encoded)) if order is None else order
    found = dict(zip(order, scorer.score([encoded[k] for k in order]), strict=True))
    return np.concatenate([found[k] for k in range(len(encoded))])


def test_batch_size_order_padding_and_companions_move_a_float32_score_by_at_most_1e_5(folder):
    scorer = Scorer.load(folder, ScoreConfig(budget=1))  # every reply in a batch of its own
    alone = np.concatenate(
        [scorer.score([scorer.encode(prompt, [text])])[0] for prompt, texts in conversations() for text in texts]
    )
    assert np.std(alone) > 0.1
    shuffled = stream(0, "order").permutation(len(conversations())).tolist()
    seen = set()
    for budget in (1, 60, 300, 100_000):
        for share in (True, False):
            other = Scorer.load(folder, ScoreConfig(budget=budget, share_prompts=share))
            seen.add(tuple(other.protocol["layouts"]))
            for order in (None, shuffled):
                assert alike(alone, told(other, order), 1e-5), (budget, share, order)
    assert seen == {("padded", "flat", "shared"), ("padded", "flat")}


@pytest.mark.parametrize("layout", ["shared", "flat"])
def test_the_pad_id_changes_no_score(folder, layout):
    scorer = Scorer.load(folder, ScoreConfig(share_prompts=layout == "shared"))
    before = told(scorer)
    for pad in (1, 2, 77):
        scorer._pad_id = pad
        assert np.array_equal(before, told(scorer))


def test_features_are_what_the_head_reads(folder):
    scorer = Scorer.load(folder)
    encoded = [scorer.encode(*each) for each in conversations()]
    features = np.concatenate(scorer.features(encoded))
    head_D = scorer.model.head.weight[0].detach().double().numpy()
    assert alike(told(scorer), features @ head_D, 1e-5)


# The trap: transformers looks for the last token that is not the pad token, so pad = eos would skip the end of the turn.
TRAPS = {"own pad": None, "pad is eos": END}


@pytest.mark.parametrize("trap", TRAPS)
def test_plain_transformers_gives_the_same_score(tmp_path, trap):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer = lively(tokenizer=small_tokenizer(pad=TRAPS[trap]))
    save_reward_model(model, tokenizer, tmp_path)
    scorer = Scorer.load(tmp_path)
    assert scorer.encoder.checks["last_token"] == END
    encoded = [scorer.encode(*each) for each in conversations()]
    ours = np.concatenate(scorer.score(encoded))
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32).eval()
    reader = AutoTokenizer.from_pretrained(tmp_path)
    rows = [row for each in encoded for row in each.group.rows]
    with torch.no_grad():
        single = torch.cat([plain(torch.tensor([row])).logits[:, 0] for row in rows])
        padded = reader.pad({"input_ids": rows}, padding_side="right", return_tensors="pt")
        batch = plain(**padded).logits[:, 0]
    assert alike(ours, single, 1e-5)
    assert alike(ours, batch, 1e-5)
    texts = [
        reader.apply_chat_template(
            [{"role": "user", "content": prompt[0].content}, {"role": "assistant", "content": text}], tokenize=False
        )
        for prompt, replies in conversations()
        for text in replies
    ]
    assert [reader(text, add_special_tokens=False).input_ids for text in texts] == rows


def test_a_bfloat16_model_is_written_and_read_back(tmp_path):
    model, tokenizer = lively(BackboneConfig(hidden=16, layers=2, heads=2, max_length=64, vocab=300, dtype="bfloat16"))
    save_reward_model(model, tokenizer, tmp_path)
    assert load_file(tmp_path / "model.safetensors")["score.weight"].dtype == torch.float32
    before = told(Scorer(model, tokenizer, ScoreConfig(dtype="bfloat16")))
    again = told(Scorer.load(tmp_path, ScoreConfig(dtype="bfloat16")))
    assert alike(before, again, 1e-2)
    assert alike(before, told(Scorer.load(tmp_path)), 0.2)  # read as float32: what bfloat16's three digits leave


def test_rendered_texts_and_token_ids_score_as_the_conversation_does(folder):
    scorer = Scorer.load(folder)
    each = scorer.encode(talk("question"), ["good answer"])
    (row,) = each.group.rows
    text = scorer.tokenizer.decode(row)
    forms = [each, scorer.encode_ids(row), scorer.encode_text(text, add_special_tokens=False)]
    scores = np.concatenate(scorer.score(forms))
    assert alike(scores[:1], scores[1:2], 1e-5)
    assert alike(scores[:1], scores[2:], 1e-5)


@pytest.mark.parametrize("ids", [[], [-1], [10**6]])
def test_numbers_that_are_no_tokens_are_refused(folder, ids):
    with pytest.raises(BadRow):
        Scorer.load(folder).encode_ids(ids)


def test_a_doubled_bos_in_a_rendered_text_is_refused(folder):
    with pytest.raises(BadRow, match="two BOS"):
        Scorer.load(folder).encode_text("<|bos|><|bos|>good")


def test_a_score_that_is_not_finite_stops(folder):
    scorer = Scorer.load(folder)
    nn.init.constant_(scorer.model.head.weight, float("nan"))
    with pytest.raises(FailedWork, match="not finite"):
        told(scorer)


def refused(path, message, load=Scorer.load):
    with pytest.raises(BadInput, match=message) as error:
        load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_directory_that_is_not_there(tmp_path):
    refused(tmp_path / "none", "no such directory")


def test_a_backbone_without_a_head(tmp_path):
    tokenizer = small_tokenizer()
    save_backbone(load_backbone(TINY, tokenizer, "none"), tokenizer, tmp_path)
    refused(tmp_path, "not a reward model")


def test_a_head_that_is_only_claimed(broken):
    weights = load_file(broken / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    refused(broken, "lacks 1 weights, first score.weight")


def test_two_labels(broken):
    config = json.loads((broken / "config.json").read_text())
    labels = {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
    (broken / "config.json").write_text(json.dumps(config | labels))
    weights = load_file(broken / "model.safetensors")
    weights["score.weight"] = weights["score.weight"].repeat(2, 1)
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    refused(broken, "2 labels; a reward model has one")


def test_weights_cut_short(broken):
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(broken, "cannot be loaded")


def test_weights_that_are_not_safetensors(broken):
    (broken / "model.safetensors").write_bytes(b"not a file of weights")
    refused(broken, "cannot be loaded")


def test_pickled_weights_are_never_opened(broken, monkeypatch):
    torch.save(load_file(broken / "model.safetensors"), broken / "pytorch_model.bin")
    (broken / "model.safetensors").unlink()

    def opened(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr(torch, "load", opened)
    refused(broken, "pytorch_model.bin may hold code")
    refused(broken, "cannot be loaded", lambda path: load_backbone(BackboneConfig(model=str(path)), small_tokenizer()))


def test_no_weights_at_all(broken):
    (broken / "model.safetensors").unlink()
    refused(broken, "holds no model.safetensors")


def test_the_tokenizer_of_another_model(broken):
    write_json(broken / ABOUT, {"tokenizer": vocabulary_hash(small_tokenizer())})
    Scorer.load(broken)
    other = small_tokenizer()
    other.add_tokens(["zebra"])
    write_json(broken / ABOUT, {"tokenizer": vocabulary_hash(other)})
    refused(broken, "its tokenizer is not the one it was trained with")


def test_another_template_than_the_one_of_training(broken):
    told = check_template(small_tokenizer())
    write_json(broken / ABOUT, told)
    Scorer.load(broken)
    write_json(broken / ABOUT, {**told, "template": "0" * 16})
    refused(broken, "its chat template is not the one it was trained with")


def test_flash_attention_in_float32(broken):
    with pytest.raises(BadInput, match="no float32 kernels"):
        Scorer(backbone("llama"), small_tokenizer(), ScoreConfig(attention="flash_attention_2", max_length=64))


def test_a_tokenizer_with_more_tokens_than_the_model_has_rows(broken):
    other = small_tokenizer()
    other.add_tokens([f"zebra{k}" for k in range(40)])
    other.save_pretrained(broken)
    refused(broken, "the tokenizer has")


def test_no_tokenizer(broken):
    for path in broken.glob("*token*"):
        path.unlink()
    refused(broken, "cannot be loaded")


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_a_broken_reward_json(broken, text):
    (broken / ABOUT).write_text(text)
    refused(broken, "reward.json: ")
    with pytest.raises(BadInput):
        read_about(broken)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"temperature": 1}', '{"temperature": "hot", "low": 1, "high": 1, "mean": 0, "scale": 1}']
)
def test_a_broken_calibration(broken, text):
    (broken / CALIBRATION).write_text(text)
    refused(broken, "calibration.json")


def test_a_broken_posterior(broken):
    (broken / "laplace.safetensors").write_bytes(b"torn")
    refused(broken, "laplace.safetensors")


@pytest.mark.parametrize("head", [True, False])
def test_an_encoder_is_refused_before_any_training(tmp_path, head):
    tokenizer = small_tokenizer()
    shape = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, num_labels=1,
    )  # fmt: skip
    made = BertForSequenceClassification(shape) if head else BertModel(shape)
    save_backbone(made, tokenizer, tmp_path)
    message = "only causal reward models" if head else "an encoder"
    refused(tmp_path, message, lambda path: new_reward_model(BackboneConfig(model=str(path)), tokenizer, 0))
    if head:
        refused(tmp_path, message, load_reward_model)


def test_a_template_that_cannot_be_used(broken):
    made = json.loads((broken / "tokenizer_config.json").read_text())
    template = "{{ bos_token }}{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (broken / "tokenizer_config.json").write_text(json.dumps(made | {"chat_template": template}))
    (broken / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(BadInput, match="two BOS"):
        Scorer.load(broken)


def test_a_conversation_longer_than_the_model_follows_the_policy(folder):
    long = (talk("question " * 80), ["good answer"])
    with pytest.raises(BadRow, match="longer than 64"):
        Scorer.load(folder).encode(*long)
    cut = Scorer.load(folder, ScoreConfig(over_long="truncate")).encode(*long)
    assert cut.cut > 0
    assert cut.group.longest == 64
    with pytest.raises(BadInput, match="max_length=64"):
        Scorer.load(folder, ScoreConfig(over_long="error")).encode(*long)


def test_a_frozen_backbone_gives_features_and_no_pairs_change(tmp_path):
    tokenizer = small_tokenizer()
    backbone = load_backbone(TINY, tokenizer, "causal", seed=4)
    save_backbone(backbone, tokenizer, tmp_path)
    scorer = Scorer.frozen(str(tmp_path), ScoreConfig())
    (each, *_) = make_pairs(1)
    encoded = scorer.encode(each.prompt, (each.chosen, each.rejected))
    with torch.no_grad():
        hidden = [backbone.model(torch.tensor([row])).last_hidden_state[0, -1] for row in encoded.group.rows]
    assert alike(torch.stack(hidden), scorer.features([encoded])[0], 1e-5)
