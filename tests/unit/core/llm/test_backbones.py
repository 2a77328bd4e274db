import pytest
import torch

from skyloom.core.errors import BadInput
from skyloom.core.llm.backbones import load_backbone, load_tokenizer, pad_id, save_backbone, train_tokenizer
from skyloom.core.llm.config import BackboneConfig


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits


def test_digits_are_single_and_text_comes_back(tokenizer):
    assert [tokenizer.decode([i]) for i in tokenizer.encode("2048", add_special_tokens=False)] == list("2048")
    for text in ("a  b\n\tc ", "naïve 数学 🙂", " lead", "", "x" * 50 + "1234567890"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_same_corpus_gives_the_same_vocabulary(tokenizer, corpus, config):
    # The trainer counts in hash maps whose order differs from one map to the next: merges must not depend on it.
    texts = {train_tokenizer(iter(corpus), config.vocab).backend_tokenizer.to_str() for _ in range(5)}
    assert texts == {tokenizer.backend_tokenizer.to_str()}
    assert train_tokenizer(corpus[:40], config.vocab).backend_tokenizer.to_str() not in texts


def test_special_tokens_have_their_ids(tokenizer):
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert pad_id(tokenizer) == 0
    assert len({*tokenizer.all_special_ids}) == 6


def test_one_seed_one_model(config, tokenizer, model):
    state = torch.get_rng_state()
    again, other = load_backbone(config, tokenizer, seed=5), load_backbone(config, tokenizer, seed=6)
    assert torch.equal(state, torch.get_rng_state())  # the global generator is left alone
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert not torch.equal(next(other.parameters()), next(model.parameters()))


def test_a_saved_model_loads_as_it_was(config, tokenizer, model, tmp_path):
    save_backbone(model, tokenizer, tmp_path / "model")
    saved = BackboneConfig(model=str(tmp_path / "model"), dtype="float64")
    back = load_tokenizer(saved)
    ids = back.encode("how many red apples 7", add_special_tokens=False)
    assert ids == tokenizer.encode("how many red apples 7", add_special_tokens=False)
    assert back.chat_template == tokenizer.chat_template
    assert torch.equal(logits(load_backbone(saved, back), ids), logits(model, ids))
    with torch.no_grad():
        hidden = load_backbone(saved, back, "none")(input_ids=torch.tensor([ids])).last_hidden_state
    assert hidden.shape == (1, len(ids), config.hidden)
    assert torch.allclose(hidden @ model.lm_head.weight.T, logits(model, ids))


def test_a_backbone_without_a_head_cannot_become_an_untied_model(config, tokenizer, tmp_path):
    bare = load_backbone(config, tokenizer, "none")
    bare.config.tie_word_embeddings = False
    save_backbone(bare, tokenizer, tmp_path / "bare")
    with pytest.raises(BadInput, match=r"lacks 1 weights, first lm_head\.weight"):
        load_backbone(BackboneConfig(model=str(tmp_path / "bare")), tokenizer)


def test_a_larger_vocabulary_than_the_models_is_refused(config, tokenizer, model, corpus, tmp_path):
    save_backbone(model, tokenizer, tmp_path / "model")
    larger = train_tokenizer(corpus, 301)
    with pytest.raises(BadInput, match="301 tokens, the model rows for 300"):
        load_backbone(BackboneConfig(model=str(tmp_path / "model")), larger)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("nobody/no-such-model", "cannot be loaded"),
        ("/no/such/folder", "no such directory"),
        ("./here.gguf", "no such file"),
    ],
)
def test_a_model_that_is_not_there_is_told_in_one_line(model, told, tokenizer, monkeypatch):
    monkeypatch.setattr("skyloom.core.llm.backbones._online", lambda: False)
    for load in (lambda c: load_tokenizer(c), lambda c: load_backbone(c, tokenizer)):
        with pytest.raises(BadInput) as caught:
            load(BackboneConfig(model=model))
        assert repr(model) in str(caught.value)
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["empty folder", "cut weights", "no model at all.gguf"])
def test_a_damaged_model_is_told_in_one_line(damage, tokenizer, model, tmp_path):
    folder = tmp_path / damage
    if damage == "cut weights":
        save_backbone(model, tokenizer, folder)
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    elif damage == "empty folder":
        folder.mkdir()
    else:
        folder.write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(BadInput, match="cannot be loaded") as caught:
        load_backbone(BackboneConfig(model=str(folder)), tokenizer)
    assert "\n" not in str(caught.value)


def test_tiny_needs_a_corpus(config):
    with pytest.raises(BadInput, match="give a corpus"):
        load_tokenizer(config)
