"""Backbones and their tokenizers: `tiny` made on the spot, a Hugging Face name, a local directory, or a GGUF file.

Formula  `tiny` is a Llama-architecture model with random weights and a byte-level BPE trained on the given texts, digits
         single; same texts, same vocabulary; same seed, same weights
Source   Llama: Touvron et al. 2023; byte-level BPE: Radford et al. 2019; single digits: Touvron et al. 2023, section 2.1
Flow     collect -> curate -> [train] -> [evaluate] -> report; results are standard Hugging Face directories
Run      skyloom run RECIPE --set train.backbone.model=PATH
"""

import os
import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from skyloom.core.errors import BadInput
from skyloom.core.llm.config import TINY, BackboneConfig, intermediate
from skyloom.core.llm.templates import TINY_TEMPLATE
from skyloom.core.rng import derive

PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
ROLES: tuple[str, ...] = ("<|system|>", "<|user|>", "<|assistant|>")
_ALIGNED: int = 64  # bytes; where torch's own allocations start
_SMALL_BYTES: int = 200_000_000  # loads within two seconds, so that a progress bar would be noise
Head = Literal["causal", "none", "score"]
KINDS: dict[Head, Any] = {  # Any: transformers' factories share no type
    "causal": AutoModelForCausalLM,
    "none": AutoModel,
    "score": AutoModelForSequenceClassification,
}
T = TypeVar("T")


def load_tokenizer(config: BackboneConfig, corpus: Iterable[str] | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to `config.model`; a missing pad token becomes the end token (masks tell them apart).

    Args:
        config: which model.
        corpus: texts that the BPE of `tiny` learns from, in any order that is the same each time; unused otherwise.

    Raises:
        BadInput: `tiny` without a corpus, or a model that cannot be found or read.
    """
    if config.model == TINY:
        if corpus is None:
            raise BadInput(
                "model 'tiny': its tokenizer is trained on the data; give a corpus, or a saved directory as model"
            )
        return train_tokenizer(corpus, config.vocab)
    name, options = _location(config.model)

    def load() -> PreTrainedTokenizerBase:
        return AutoTokenizer.from_pretrained(name, **options)

    tokenizer = _loaded(config.model, load)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def train_tokenizer(corpus: Iterable[str], vocab: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `vocab` tokens: the same corpus gives the same file; decode(encode(x)) is x."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[PAD, BOS, END, *ROLES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        chat_template=TINY_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def load_backbone(
    config: BackboneConfig, tokenizer: PreTrainedTokenizerBase, head: Head = "causal", seed: int = 0
) -> PreTrainedModel:
    """The model that `config` names, in `eval` mode, on the CPU, weights in `config.dtype`.

    Args:
        config: which model, and how large `tiny` is.
        tokenizer: from `load_tokenizer`; `tiny` takes its vocabulary and special ids.
        head: `causal` gives next-token logits (a `...ForCausalLM`); `none` the last hidden states (`last_hidden_state`,
            B x T x hidden, after the final norm), for reward heads; `score` a sequence classifier, whose head must be in the file.
        seed: draws the weights of `tiny`; unused otherwise.

    Raises:
        BadInput: the model cannot be found or read, lacks weights, or its vocabulary is smaller than the tokenizer's.
    """
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}[config.dtype]
    if config.model == TINY:
        tiny = _make_tiny(config, tokenizer, head, derive(seed, "backbone"))
        for weight in tiny.parameters():  # not `.to(dtype)`, which would round the buffer of rotary frequencies too
            weight.data = weight.data.to(dtype)
        return tiny.eval()
    name, options = _location(config.model)
    kind = KINDS[head]
    model, report = _loaded(
        config.model,
        lambda: cast(
            tuple[PreTrainedModel, dict[str, Any]],  # Any: transformers' loading report
            kind.from_pretrained(
                name,
                dtype=dtype,
                attn_implementation=config.attention,
                output_loading_info=True,
                use_safetensors=None
                if "gguf_file" in options
                else True,  # the other form is pickle, which may hold code
                **options,
            ),
        ),
    )
    _refuse_gaps(config, model, tokenizer, sorted(report["missing_keys"]))
    for weight in model.parameters():
        # Weights mapped from a file start anywhere, and kernels round otherwise there: a saved model would not score as it did.
        if weight.data_ptr() % _ALIGNED:
            weight.data = weight.data.clone()
    return model.eval()


def has_score_head(config: BackboneConfig) -> bool:
    """Whether the model that `config` names says of itself that it is a sequence classifier. Raises BadInput where it is not found."""
    if config.model == TINY or config.model.endswith(".gguf"):
        return False
    name, options = _location(config.model)

    def load() -> Any:  # Any: a PretrainedConfig, whose fields differ by model
        return AutoConfig.from_pretrained(name, **options)

    kinds: list[str] = _loaded(config.model, load).architectures or []
    return any(kind.endswith("ForSequenceClassification") for kind in kinds)


def save_backbone(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write a standard Hugging Face directory (safetensors), which `BackboneConfig(model=str(out))` loads again."""
    with _quiet():
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills up rows; it may be the end token's, so read masks, never ids. BadInput where there is none."""
    found = tokenizer.pad_token_id
    if not isinstance(found, int):
        raise BadInput("tokenizer: has neither a pad nor an end token; set one in its tokenizer_config.json")
    return found


def _make_tiny(config: BackboneConfig, tokenizer: PreTrainedTokenizerBase, head: Head, seed: int) -> PreTrainedModel:
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        intermediate_size=intermediate(config),
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.max_length,
        tie_word_embeddings=True,
        pad_token_id=_whole(tokenizer.pad_token_id),
        bos_token_id=_whole(tokenizer.bos_token_id),
        eos_token_id=_whole(tokenizer.eos_token_id),
    )
    shape._attn_implementation = config.attention  # pyright: ignore[reportPrivateUsage] - the argument is not in the stub
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(shape) if head == "causal" else LlamaModel(shape)


def _whole(token: object) -> int | None:
    return token if isinstance(token, int) else None


def _location(model: str) -> tuple[str, dict[str, Any]]:  # Any: keyword arguments of from_pretrained
    """Where transformers finds a model: a directory, the GGUF file in one, or a name on the hub or in its cache."""
    path = Path(model).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise BadInput(f"model {model!r}: no such file")
        return str(path.parent), {"gguf_file": path.name}
    if path.is_dir():
        return str(path), {}
    if path.is_absolute() or model.startswith((".", "~")):
        raise BadInput(f"model {model!r}: no such directory")
    return model, {"local_files_only": not _online()}


def _online() -> bool:
    """Whether the hub's name resolves; without this look, transformers retries for most of a minute before it gives up."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True


def _loaded(model: str, load: Callable[[], T]) -> T:
    try:
        with _quiet() if _is_small(model) else nullcontext():
            return load()
    except (
        OSError,
        ValueError,
        ImportError,
        RuntimeError,
        SafetensorError,
    ) as error:  # offline, unknown, bad file, no gguf
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BadInput(
            f"model {model!r}: cannot be loaded ({reason}); give a local directory or a .gguf file, or bring it into "
            f"the cache with `hf download {model}` on a machine that is online"
        ) from error


def _is_small(model: str) -> bool:
    folder = Path(model).expanduser()
    return folder.is_dir() and sum(path.stat().st_size for path in folder.iterdir()) < _SMALL_BYTES


@contextmanager
def _quiet() -> Generator[None]:
    """Without transformers' own bars, which draw even for a millisecond."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _refuse_gaps(
    config: BackboneConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, missing: list[str]
) -> None:
    if missing:  # transformers would fill them at random and only warn
        raise BadInput(
            f"model {config.model!r}: lacks {len(missing)} weights, first {missing[0]}; it is another kind of model"
        )
    rows = int(cast(nn.Embedding, model.get_input_embeddings()).weight.shape[0])
    if len(tokenizer) > rows:
        raise BadInput(f"model {config.model!r}: the tokenizer has {len(tokenizer)} tokens, the model rows for {rows}")
