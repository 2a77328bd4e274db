"""The reward model: a backbone and one linear head that reads the last token of each reply.

Formula  score = w . h_last, h the backbone's normed hidden states, last the last real token by the layout, never by the pad id
Source   Stiennon et al. 2020; head drawn from N(0, 1/(hidden + 1)) and no bias, as in open-instruct's reward_modeling.py
Flow     train.py trains it, score.py reads it back
Layout   on disk a standard AutoModelForSequenceClassification directory with one label, whose pad token is never a last token: plain
         transformers gives the same score
Run      skyloom reward score runs/x/train/model pairs.jsonl
Shapes   K replies of a batch, B rows, T tokens, D hidden width
"""

import copy
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm.attention import PIECES, attention_of
from skyloom.core.llm.backbones import has_score_head, load_backbone, load_tokenizer, save_backbone
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.rng import derive
from skyloom.core.store import fsync_path
from skyloom.reward.layout import Batch


class RewardModel(nn.Module):
    """A backbone without a language-model head, and the reward head."""

    def __init__(self, backbone: PreTrainedModel, seed: int) -> None:
        super().__init__()
        self.backbone = backbone
        if attention_of(backbone) == "sdpa":
            backbone.set_attn_implementation(PIECES)
        head = nn.utils.skip_init(nn.Linear, self.width, 1, bias=False, dtype=torch.float32)  # draws nothing
        self.head: nn.Linear = cast(nn.Linear, head)
        generator = torch.Generator().manual_seed(derive(seed, "head"))
        nn.init.normal_(self.head.weight, std=(self.width + 1) ** -0.5, generator=generator)

    @property
    def width(self) -> int:
        """Hidden width D."""
        return int(self.backbone.config.get_text_config().hidden_size)

    @property
    def reads_pieces(self) -> bool:
        """Whether the backbone's attention is told where pieces end (core/llm/attention.py); FlashAttention reads positions."""
        return attention_of(self.backbone) == PIECES

    @property
    def device(self) -> torch.device:
        """Where the head is."""
        return self.head.weight.device

    def hidden(self, batch: Batch) -> Float[Tensor, "B T D"]:
        """Hidden states after the final norm."""
        told: dict[str, Any] = {}  # Any: keywords of the attention, passed down by transformers
        if batch.mask_BT is not None:
            told["attention_mask"] = batch.mask_BT.long()
        elif self.reads_pieces:
            told["pieces"] = batch.pieces
        return self.backbone(
            input_ids=batch.ids_BT, position_ids=batch.position_BT, use_cache=False, **told
        ).last_hidden_state

    def features(self, batch: Batch) -> Float[Tensor, "K D"]:
        """Hidden state of each reply's last token, float32: what the head reads."""
        return self.hidden(batch)[batch.row_K, batch.column_K].float()

    def pooled(self, hidden_BTD: Float[Tensor, "B T D"], batch: Batch) -> Float[Tensor, " K"]:
        """Scores of K replies from their rows' hidden states, float32 under autocast too: bfloat16 has three digits for a gap."""
        with torch.autocast(hidden_BTD.device.type, enabled=False):
            return self.head(hidden_BTD[batch.row_K, batch.column_K].float()).squeeze(-1)

    def forward(self, batch: Batch) -> Float[Tensor, " K"]:
        """Scores of K replies, float32."""
        return self.pooled(self.hidden(batch), batch)


def new_reward_model(config: BackboneConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> RewardModel:
    """A model to train: a backbone with a fresh head, or, where `config.model` already is a reward model, that one.

    Raises BadInput, before anything is trained, for a backbone that could not be written as a reward model: an encoder, whose last
    token is not what it is read at, or one that has no sequence classifier in transformers.
    """
    if has_score_head(config):
        return _split(load_backbone(config, tokenizer, "score"), config.model)
    backbone = load_backbone(config, tokenizer, "none", derive(seed, "init"))
    _shell(backbone.config, config.model)
    return RewardModel(backbone, seed)


def save_reward_model(model: RewardModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write model and tokenizer as a standard directory; both stay as they are in memory.

    Raises BadInput where the backbone's architecture has no sequence classifier in transformers, FailedWork where the disk refuses.
    """
    pad_id = export_pad_id(tokenizer)
    config = copy.deepcopy(model.backbone.config)
    config.num_labels, config.pad_token_id = 1, pad_id
    if hasattr(config, "quantization_config"):
        delattr(config, "quantization_config")  # a GGUF file's weights were expanded when they were read
    shell = _shell(config, type(model.backbone).__name__)
    setattr(shell, shell.base_model_prefix, model.backbone)
    shell.score = model.head
    trained_with = model.backbone.config
    try:
        model.backbone.config = config
        saved = copy.deepcopy(tokenizer)  # a shallow one shares its special tokens
        saved.pad_token = tokenizer.convert_ids_to_tokens(pad_id)
        out.mkdir(parents=True, exist_ok=True)
        save_backbone(shell, saved, out)
        for path in out.glob("*.safetensors"):
            fsync_path(path)
    except (OSError, SafetensorError) as error:
        raise FailedWork(f"{out}: model not written ({error}); free space, then run the same command again") from error
    finally:
        model.backbone.config = trained_with


def load_reward_model(
    model: str | Path, config: BackboneConfig | None = None
) -> tuple[RewardModel, PreTrainedTokenizerBase]:
    """Any causal AutoModelForSequenceClassification with one label: a directory, or a name on the hub.

    Raises BadInput for one without a head or with several labels, without or with another model's tokenizer, with pickled or
    torn weights.
    """
    settings = config or BackboneConfig(model=str(model))
    folder = Path(settings.model).expanduser()
    if folder.is_dir() and not any(folder.glob("model*.safetensors")):
        pickled = next((path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern)), None)
        why = f"{pickled} may hold code (pickle); save it as safetensors" if pickled else "holds no model.safetensors"
        raise BadInput(f"{folder}: {why}")
    if not has_score_head(settings):
        raise BadInput(
            f"{settings.model}: not a reward model (no sequence classifier); train one, or give its directory"
        )
    tokenizer = load_tokenizer(settings)
    return _split(load_backbone(settings, tokenizer, "score"), settings.model).eval(), tokenizer


def export_pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """A pad token that ends no conversation: transformers looks for the last token that is not it, so it may not be the end token.

    Raises BadInput where the tokenizer has no special token to spare.
    """
    ends = (tokenizer.eos_token, tokenizer.bos_token)
    template = str(tokenizer.chat_template or "")
    added: dict[str, int] = cast(
        Any, tokenizer
    ).get_added_vocab()  # Any: every fast tokenizer has it, the stub does not say so
    spare = [token for token in (*map(str, tokenizer.all_special_tokens), *added) if token not in template]
    spare.sort(key=lambda token: "pad" not in token.lower())  # Llama 3 keeps one for this, and names it
    vocabulary = tokenizer.get_vocab()
    for token in (tokenizer.pad_token, tokenizer.unk_token, *spare):
        if isinstance(token, str) and token not in ends and token in vocabulary:
            return vocabulary[token]
    raise BadInput("tokenizer: every special token ends or begins a turn; add a pad token of its own")


def _shell(config: PretrainedConfig, name: str) -> PreTrainedModel:
    """The sequence classifier of a backbone, without weights."""
    try:
        with torch.device("meta"):
            shell = cast(PreTrainedModel, AutoModelForSequenceClassification.from_config(config))
    except ValueError as error:
        raise BadInput(f"{name}: transformers has no sequence classifier of this kind") from error
    if not isinstance(getattr(shell, "score", None), nn.Linear):
        raise BadInput(f"{name}: an encoder ({type(shell).__name__}); a reward model needs a causal backbone")
    return shell


def _split(full: PreTrainedModel, name: str) -> RewardModel:
    """A sequence classifier as backbone and head."""
    head: object = getattr(full, "score", None)
    labels = full.config.num_labels
    if labels != 1:
        raise BadInput(f"{name}: {labels} labels; a reward model has one")
    if not isinstance(head, nn.Linear) or "bias" in head.state_dict():
        raise BadInput(f"{name}: its head is not one linear map without bias; only causal reward models can be read")
    model = RewardModel(cast(PreTrainedModel, getattr(full, full.base_model_prefix)), seed=0)
    with torch.no_grad():
        model.head.weight.copy_(head.weight.float())
    return model
