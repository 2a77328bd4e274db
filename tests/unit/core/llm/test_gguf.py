"""A GGUF file written here from a model made here: tokenizer and logits must come back."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from skyloom.core.llm.backbones import load_backbone, load_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.llm.templates import render_prompt
from skyloom.core.records import Message

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(path: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    shape = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_key_value_heads)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_rope_freq_base(shape.rope_parameters["rope_theta"])
    writer.add_vocab_size(shape.vocab_size)
    write_tokenizer(writer, tokenizer)
    for name, weight in model.named_parameters():
        writer.add_tensor(tensor_name(name), stored(name, weight.detach().float().numpy(), shape.num_attention_heads))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerFast) -> None:
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)


def tensor_name(name: str) -> str:
    stem = name.removesuffix(".weight")
    if not stem.startswith("model.layers."):
        return f"{NAMES[stem]}.weight"
    _, _, block, part = stem.split(".", 3)
    return f"blk.{block}.{NAMES[part]}.weight"


def stored(name: str, weight: np.ndarray, heads: int) -> np.ndarray:
    """GGUF interleaves the halves of each rotary pair that Hugging Face keeps apart."""
    if "q_proj" not in name and "k_proj" not in name:
        return weight
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


@pytest.fixture(scope="module")
def file(tmp_path_factory, lively, tokenizer) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny-f32.gguf"
    write_gguf(path, lively, tokenizer)
    return path


def test_the_model_comes_back(file, lively, tokenizer):
    config = BackboneConfig(model=str(file))
    ids = torch.tensor([render_prompt(tokenizer, [Message(role="user", content="how many nuts")])])
    with torch.no_grad():
        expected = lively(input_ids=ids).logits
        assert torch.allclose(load_backbone(config, tokenizer)(input_ids=ids).logits.double(), expected, atol=1e-4)
        hidden = load_backbone(config, tokenizer, "none")(input_ids=ids).last_hidden_state
        assert torch.allclose((hidden @ lively.lm_head.weight.float().T).double(), expected, atol=1e-4)


def test_the_tokenizer_comes_back_and_lacks_no_pad(file, tokenizer):
    back = load_tokenizer(BackboneConfig(model=str(file)))
    assert (back.bos_token, back.eos_token, back.pad_token) == ("<|bos|>", "<|end|>", "<|end|>")
    assert back.chat_template == tokenizer.chat_template
    messages = [Message(role="user", content="red apples are left")]
    assert back.decode(render_prompt(back, messages)) == tokenizer.decode(render_prompt(tokenizer, messages))
