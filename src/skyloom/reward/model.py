"""The reward model: a backbone and one linear head that reads the last token.

Formula  score = w . h_last, h the backbone's normed hidden states, last the last real token by the attention mask
Source   Stiennon et al. 2020; head drawn from N(0, 1/(hidden + 1)) and no bias, as in open-instruct's reward_modeling.py
Flow     train.py trains it, pipeline.py and `skyloom reward score` read it back
Run      skyloom reward score --model runs/x/train/model --data pairs.jsonl
Shapes   N rows, B rows of a batch, T tokens, D hidden width
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from skyloom.core.errors import BadInput
from skyloom.core.llm.backbones import load_backbone, load_tokenizer, save_backbone
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.llm.packing import Padded, last_token_index, pad, plan_sorted
from skyloom.core.llm.templates import render_chat
from skyloom.core.progress import track
from skyloom.core.records import Message
from skyloom.core.rng import derive
from skyloom.core.store import fsync_path
from skyloom.reward.records import Pair

HEAD: str = "reward_head.safetensors"


class PairScores(NamedTuple):
    """Scores of both sides of B pairs, in reward units."""

    chosen_B: Float[Tensor, " B"]
    rejected_B: Float[Tensor, " B"]


class SideIds(NamedTuple):
    """Token ids of both conversations of one pair."""

    chosen: list[int]
    rejected: list[int]

    @property
    def longest(self) -> int:
        """Tokens of the longer side."""
        return max(len(self.chosen), len(self.rejected))


class RewardModel(nn.Module):
    """A backbone without a language-model head, and the reward head."""

    def __init__(self, backbone: PreTrainedModel, seed: int) -> None:
        super().__init__()
        self.backbone = backbone
        width = int(backbone.config.hidden_size)
        self.head = nn.Linear(width, 1, bias=False, dtype=torch.float32)
        generator = torch.Generator().manual_seed(derive(seed, "head"))
        nn.init.normal_(self.head.weight, std=(width + 1) ** -0.5, generator=generator)

    def hidden(self, ids_BT: Int[Tensor, "B T"], mask_BT: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Hidden states after the final norm."""
        return self.backbone(input_ids=ids_BT, attention_mask=mask_BT.long(), use_cache=False).last_hidden_state

    def pooled(self, hidden_BTD: Float[Tensor, "B T D"], mask_BT: Bool[Tensor, "B T"]) -> Float[Tensor, " B"]:
        """Scores in float32 from hidden states."""
        row_B = torch.arange(len(mask_BT), device=mask_BT.device)
        return self.head(hidden_BTD[row_B, last_token_index(mask_BT)].float()).squeeze(-1)

    def forward(self, ids_BT: Int[Tensor, "B T"], mask_BT: Bool[Tensor, "B T"]) -> Float[Tensor, " B"]:
        """Scores of B conversations, padded on the right."""
        return self.pooled(self.hidden(ids_BT, mask_BT), mask_BT)


def encode(tokenizer: PreTrainedTokenizerBase, pair: Pair) -> SideIds:
    """Token ids of both conversations; raises BadRow where a text holds one of the tokenizer's special tokens."""
    sides = (
        render_chat(tokenizer, [*pair.prompt, Message(role="assistant", content=text)])
        for text in (pair.chosen, pair.rejected)
    )
    return SideIds(*sides)


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills up; any id would do, because the mask alone tells what is real."""
    return int(cast(int, tokenizer.pad_token_id))


def pad_sides(sides: Sequence[SideIds], pad_id: int) -> Padded:
    """B pairs as 2B padded rows: all chosen sides, then all rejected ones."""
    return pad([side.chosen for side in sides] + [side.rejected for side in sides], pad_id)


@torch.no_grad()
def score_sides(model: RewardModel, sides: Sequence[SideIds], pad_id: int, budget: int) -> Float[np.ndarray, "N 2"]:
    """Scores of both sides of N encoded pairs; the model is left in eval mode."""
    model.eval()
    device = next(model.parameters()).device
    scores_N2 = np.zeros((len(sides), 2))
    lengths = [2 * side.longest for side in sides]
    batches = plan_sorted(lengths, max(budget, max(lengths, default=0)))
    for index_B in track(batches, "scoring", len(batches)):
        batch = pad_sides([sides[int(k)] for k in index_B], pad_id)
        scores = model(batch.ids_BT.to(device), batch.mask_BT.to(device)).double().cpu().numpy()
        scores_N2[index_B, 0], scores_N2[index_B, 1] = scores[: len(index_B)], scores[len(index_B) :]
    return scores_N2


def save_reward_model(model: RewardModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """A Hugging Face directory of the backbone and its tokenizer, and the head beside it."""
    out.mkdir(parents=True, exist_ok=True)
    save_backbone(model.backbone, tokenizer, out)
    save_file({"weight": model.head.weight.detach().cpu().contiguous()}, out / HEAD)
    fsync_path(out / HEAD)


def load_reward_model(
    folder: Path, config: BackboneConfig | None = None
) -> tuple[RewardModel, PreTrainedTokenizerBase]:
    """Read what `save_reward_model` wrote; raises BadInput for a folder that holds no reward model."""
    if not (folder / HEAD).is_file():
        raise BadInput(f"{folder}: holds no {HEAD}; give the `model` folder of a training step")
    settings = config or BackboneConfig(model=str(folder))
    tokenizer = load_tokenizer(settings)
    model = RewardModel(load_backbone(settings, tokenizer, "none"), seed=0)
    weight = load_file(folder / HEAD)["weight"]
    if weight.shape != model.head.weight.shape:
        raise BadInput(f"{folder / HEAD}: width {weight.shape[1]}, the backbone has {model.head.weight.shape[1]}")
    with torch.no_grad():
        model.head.weight.copy_(weight)
    return model.eval(), tokenizer
