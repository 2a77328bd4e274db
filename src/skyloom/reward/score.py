"""Scores of conversations from a reward model on disk: the one place where evaluation, files, the server and the lab get them.

Formula  score = head . hidden state of the reply's last token; rows are grouped by what costs least (reward/layout.py), which changes
         nothing but rounding
Flow     a trained or published model -> [score] -> evals, serve, lab, `skyloom reward score`
Run      Scorer.load("runs/x/train/model").score(...)
Limits   Batch size, order, padding and shared prompts move a float32 score by at most 1e-5 relative to max(1, |score|) (tested).
Shapes   N prompts, R replies of one, D hidden width
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from skyloom.core import distributed
from skyloom.core.config import JSON
from skyloom.core.errors import BadInput, BadRow, FailedWork
from skyloom.core.llm.attention import FLASH, attention_of, is_narrow
from skyloom.core.llm.backbones import load_tokenizer, pad_id
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.llm.packing import batch_tokens
from skyloom.core.progress import track
from skyloom.core.records import Message
from skyloom.reward import calibrate, laplace
from skyloom.reward.calibrate import Calibration
from skyloom.reward.encoding import Encoded, Encoder
from skyloom.reward.laplace import Laplace
from skyloom.reward.layout import Batch, Group, Layout, arrange, choose, plan, size, split
from skyloom.reward.model import RewardModel, load_reward_model, new_reward_model
from skyloom.reward.settings import ScoreConfig

ABOUT: str = "reward.json"
"""Beside the weights: the tokenizer and the template that the model was trained with, and how."""
ALIKE: dict[str, float] = {"float32": 1e-4, "bfloat16": 5e-2}
"""Difference, relative to the largest score, within which a backbone counts as taking shared prompts: some ten roundings of each type."""


class Scorer:
    """A reward model that answers; it never changes."""

    def __init__(
        self, model: RewardModel, tokenizer: PreTrainedTokenizerBase, config: ScoreConfig, name: str = ""
    ) -> None:
        """The model is put into eval mode and onto the device. Raises BadInput for a template, or a dtype, that cannot be used."""
        if config.attention == FLASH and config.dtype == "float32":
            raise BadInput("score: flash_attention_2 has no float32 kernels; set dtype=bfloat16")
        self.name = name
        self.config = config
        self.model = model.to(_device(config)).eval()
        self.tokenizer = tokenizer
        self.max_length = config.max_length or _longest(model, name)
        self.encoder = Encoder(tokenizer, self.max_length, config.over_long)
        self.calibration: Calibration | None = None
        self.laplace: Laplace | None = None
        self._pad_id = pad_id(tokenizer)
        found = layouts_of(self.model, self.max_length)
        self._layouts: tuple[Layout, ...] = tuple(each for each in found if each != "shared" or config.share_prompts)

    @classmethod
    def load(cls, model: str | Path, config: ScoreConfig | None = None) -> "Scorer":
        """A directory that training wrote, or any published sequence classifier with one label; errors as in load_reward_model."""
        config = config or ScoreConfig()
        backbone = BackboneConfig(model=str(model), dtype=config.dtype, attention=config.attention)
        loaded, tokenizer = load_reward_model(model, backbone)
        scorer = cls(loaded, tokenizer, config, str(model))
        scorer._read(Path(model).expanduser())
        return scorer

    @classmethod
    def frozen(cls, model: str, config: ScoreConfig) -> "Scorer":
        """A pretrained backbone for its features alone, with or without a head: a directory, a hub name or a .gguf file."""
        backbone = BackboneConfig(model=model, dtype=config.dtype, attention=config.attention)
        tokenizer = load_tokenizer(backbone)
        return cls(new_reward_model(backbone, tokenizer, 0), tokenizer, config, model)

    @property
    def protocol(self) -> dict[str, JSON]:
        """What a score depends on besides the text: for manifests."""
        return {
            "model": self.name,
            "dtype": self.config.dtype,
            "attention": self.config.attention,
            "device": str(self.model.device),
            "max_length": self.max_length,
            "over_long": self.config.over_long,
            "layouts": list(self._layouts),
            **self.encoder.checks,
        }

    def encode(self, prompt: Sequence[Message], responses: Sequence[str]) -> Encoded:
        """Token ids of one prompt and its replies; errors as in Encoder."""
        return self.encoder(prompt, responses)

    def encode_text(self, text: str, add_special_tokens: bool = True) -> Encoded:
        """Token ids of an already rendered conversation; raises BadRow where it is empty or too long."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=add_special_tokens)
        bos = self.tokenizer.bos_token_id
        if bos is not None and ids[:2] == [bos, bos]:
            raise BadRow("", "begins with two BOS tokens: it is rendered already; send add_special_tokens=false")
        return self.encode_ids(ids)

    def encode_ids(self, ids: Sequence[int]) -> Encoded:
        """The same for token ids; raises BadRow also for a number that is no token."""
        rows = cast(nn.Embedding, self.model.backbone.get_input_embeddings()).num_embeddings
        if not ids or min(ids) < 0 or max(ids) >= rows:
            raise BadRow("", "empty" if not ids else f"token ids must lie in 0 to {rows - 1}")
        return Encoded(Group([], [self.encoder.fit(list(ids))]), 0)

    def score(self, groups: Sequence[Encoded], label: str = "") -> list[Float[np.ndarray, " R"]]:
        """Raw scores of N prompts' replies, float64; a label shows progress. Raises FailedWork for a score that is not finite."""
        found = self._each(groups, self.model, label)
        if not all(np.isfinite(scores).all() for scores in found):
            raise FailedWork(f"{self.name}: gives a score that is not finite; its weights or its dtype are broken")
        return found

    def head(self, features_RD: Float[np.ndarray, "R D"]) -> Float[np.ndarray, " R"]:
        """Scores from features, in the head's own float32."""
        with torch.no_grad():
            features = torch.as_tensor(features_RD, dtype=torch.float32, device=self.model.device)
            return self.model.head(features).squeeze(-1).double().cpu().numpy()

    def features(self, groups: Sequence[Encoded], label: str = "") -> list[Float[np.ndarray, "R D"]]:
        """What the head reads, float64: hidden states of the replies' last tokens."""
        return self._each(groups, self.model.features, label)

    def _each(
        self, groups: Sequence[Encoded], forward: Callable[[Batch], Tensor], label: str
    ) -> list[Float[np.ndarray, "..."]]:
        """`forward` of every reply, put back in order."""
        layout, parts, owner = self._parts([each.group for each in groups])
        outs = forward_groups(self.model, parts, forward, layout, self.config.budget, self._pad_id, label)
        found: list[list[np.ndarray]] = [[] for _ in groups]
        for out, place in zip(outs, owner, strict=True):
            found[place].append(out)
        return [np.concatenate(each) for each in found]

    def _parts(self, groups: Sequence[Group]) -> tuple[Layout, list[Group], list[int]]:
        """The layout, what is planned as one piece, and the group that each piece comes from."""
        layout = choose(groups, self.model.width, self._layouts)
        pieces = (
            [split(group, self.config.budget) for group in groups]
            if layout == "shared"
            else [[Group(group.prefix, [branch]) for branch in group.branches] for group in groups]
        )
        return (
            layout,
            [part for parts in pieces for part in parts],
            [k for k, parts in enumerate(pieces) for _ in parts],
        )

    def _read(self, folder: Path) -> None:
        """What training wrote beside the weights; raises BadInput for another tokenizer or template than the model was trained with."""
        if (folder / ABOUT).is_file():
            about = read_about(folder)
            for part, said in (("tokenizer", "tokenizer"), ("template", "chat template")):
                if part in about and about[part] != self.encoder.checks[part]:
                    raise BadInput(
                        f"{folder}: its {said} is not the one it was trained with; put the original files back"
                    )
        if (folder / calibrate.FILE).is_file():
            self.calibration = Calibration.load(folder / calibrate.FILE)
        if (folder / laplace.FILE).is_file():
            self.laplace = Laplace.load(folder / laplace.FILE, self.model.width)


def forward_groups(
    model: RewardModel,
    groups: Sequence[Group],
    forward: Callable[[Batch], Tensor],
    layout: Layout,
    budget: int,
    pad: int,
    label: str = "",
) -> list[Float[np.ndarray, "R ..."]]:
    """`forward` of every reply of every group, float64, in batches of like lengths; a sharded model's processes share the batches.

    A group above the budget stands alone in its batch. `forward` is the model, or a method of it.
    """
    largest = max((size([group], layout) for group in groups), default=0)
    batches = plan(groups, np.arange(len(groups)), layout, max(batch_tokens(budget, model.device), largest))

    def run(index_B: NDArray[np.int64]) -> list[np.ndarray]:
        some = [groups[int(k)] for k in index_B]
        with torch.no_grad():
            out_K = distributed.inside(model, forward, arrange(some, layout, pad).to(model.device))
        ends = np.cumsum([len(group.branches) for group in some])[:-1]
        return np.split(out_K.double().cpu().numpy(), ends)

    if distributed.world() > 1:
        outs = distributed.map_batches(batches, run)
    else:
        outs = [run(index_B) for index_B in (track(batches, label, len(batches)) if label else batches)]
    found = {
        int(k): out for index_B, parts in zip(batches, outs, strict=True) for k, out in zip(index_B, parts, strict=True)
    }
    return [found[k] for k in range(len(groups))]


def read_about(folder: Path) -> dict[str, JSON]:
    """reward.json of a model directory; raises BadInput where it is not an object."""
    try:
        about: JSON = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder / ABOUT}: unreadable ({error}); train again, or delete it to do without it") from error
    if not isinstance(about, dict):
        raise BadInput(f"{folder / ABOUT}: expected an object; train again, or delete it to do without it")
    return about


def takes(model: RewardModel, layout: Layout, max_length: int) -> bool:
    """Whether the backbone gives the same scores in a layout as padded, for conversations of up to `max_length` tokens.

    Tried once, on three short replies. Pieces know no window: never where a token sees fewer tokens than the longest input.
    """
    if layout == "padded":
        return True
    if layout == "shared" and not model.reads_pieces:
        return False
    config = model.backbone.config
    if model.reads_pieces and is_narrow(config, max_length):
        return False
    ids = [int(k) for k in np.linspace(1, int(config.get_text_config().vocab_size) - 1, 24)]
    probe = [Group(ids[:9], [ids[9:12], ids[12:20]]), Group(ids[4:6], [ids[20:]])]
    was = model.training
    with torch.no_grad():
        try:
            apart, other = (model.eval()(arrange(probe, name, 0).to(model.device)) for name in ("padded", layout))
        except (RuntimeError, ValueError, TypeError, AttributeError):  # takes no position ids, or no pieces
            return False
        finally:
            model.train(was)
    worst = ALIKE["bfloat16" if model.backbone.dtype == torch.bfloat16 else "float32"]
    return float((apart - other).abs().max()) <= worst * float(apart.abs().max())


def layouts_of(model: RewardModel, max_length: int) -> tuple[Layout, ...]:
    """The layouts that the backbone takes and that suit the device on which it stands."""
    if model.reads_pieces and model.device.type != "cpu":  # one kernel call a reply keeps no GPU busy
        return ("padded",)
    told_apart: tuple[Layout, ...] = (
        ("flat", "shared") if model.reads_pieces else ("flat",) if attention_of(model.backbone) == FLASH else ()
    )
    return ("padded", *(layout for layout in told_apart if takes(model, layout, max_length)))


def _longest(model: RewardModel, name: str) -> int:
    found = getattr(model.backbone.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(found, int):
        raise BadInput(f"{name}: names no longest input; set max_length")
    return found


def _device(config: ScoreConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("score: device=cuda, and torch sees no GPU; set device=cpu")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)
