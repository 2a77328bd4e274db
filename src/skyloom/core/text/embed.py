"""Texts as points: near texts, near points. Hashed words, which need no model, or a sentence model from a local folder.

Formula  hashed: words, pairs of words and runs of three bytes of the normal form (core/text/normal.py) in which every number is one
         word, each counted as the root of how often it stands there, the first two kinds twice; each feature is added, with a sign, at
         one of DIMS / 8 places in each of 8 blocks that its hash chooses; length 1
         a model: mean of its last hidden states over the text's tokens; length 1
Source   feature hashing: Weinberger et al. 2009 (arXiv 0902.2206); several places a feature keep distances as a random projection does:
         Kane & Nelson 2014 (1012.1577); mean pooling: Reimers & Gurevych 2019 (1908.10084)
Flow     under mathqa.annotate.core_set
Run      embed(["Solve x + 3 = 7 for x."], EmbedConfig())
Limits   Hashed: problems that differ in their numbers alone are one point, and so are texts of signs and blanks (the zero vector); other
         words for the same thing are far apart. The same bits on every machine; a model's last bits depend on machine and library
Shapes   T texts, D dimensions, B texts of a batch, L tokens of its longest
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skyloom.core import store
from skyloom.core.config import Config
from skyloom.core.errors import BadInput
from skyloom.core.records import Reject
from skyloom.core.text.buffers import as_bytes
from skyloom.core.text.normal import normal

if TYPE_CHECKING:  # torch: only where a model is used
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

HASHED: str = "hashed"
DIMS: int = 384
"""Dimensions of hashed texts; those of all-MiniLM-L6-v2, too."""
BATCH_TOKENS: int = 8_192
"""Padded tokens that a model reads at once: memory only."""
F32 = NDArray[np.float32]
Stamp = tuple[tuple[str, int, int], ...]
"""Name, bytes and time of change of each file of a model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedConfig(Config):
    """What turns texts into points."""

    model: str = HASHED
    """`hashed`, or a local folder of a sentence model with mean pooling (all-MiniLM-L6-v2)."""
    max_tokens: int = 256
    """Tokens at which a model's texts are cut; all-MiniLM-L6-v2 reads so many."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a length that holds no text."""
        if self.max_tokens < 8:
            raise ValueError(f"max_tokens={self.max_tokens} must be at least 8")


def embed(texts: Sequence[str], config: EmbedConfig) -> F32:
    """One point a text, T x D, of length 1; zero where a text has no word.

    Raises BadInput for a model that is no folder, cannot be read, pools otherwise or gives what is no number.
    """
    return _hashed(texts) if config.model == HASHED else _modelled(texts, config)


def inputs(config: EmbedConfig) -> tuple[Path, ...]:
    """The model's folder: its content enters the key of what is made from its points."""
    return () if config.model == HASHED else (_folder(config),)


def _hashed(texts: Sequence[str]) -> F32:
    from skyloom.core.text.vector_kernels import hashed  # numba: half a second that only those who embed should wait

    point_TD = np.empty((len(texts), DIMS), np.float32)
    hashed(*as_bytes([normal(text, masked=True) for text in texts]), point_TD)
    return point_TD


def _modelled(texts: Sequence[str], config: EmbedConfig) -> F32:
    import torch  # seconds that only those who use a model should wait

    from skyloom.core.llm.backbones import pad_id
    from skyloom.core.llm.packing import pad, plan_sorted

    model, tokenizer = _load(_folder(config).resolve(), _stamp(_folder(config)))
    longest = min(config.max_tokens, int(model.config.max_position_embeddings))
    if not texts:
        return np.empty((0, int(model.config.hidden_size)), np.float32)
    rows: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
    point_TD = np.empty((len(texts), int(model.config.hidden_size)), np.float32)
    with torch.inference_mode():
        for place_B in plan_sorted([len(row) for row in rows], max(BATCH_TOKENS, longest)):
            batch = pad([rows[place] for place in place_B], pad_id(tokenizer))
            mask_BL1 = batch.mask_BT.unsqueeze(-1)
            hidden_BLD = model(input_ids=batch.ids_BT, attention_mask=batch.mask_BT.long()).last_hidden_state
            sum_BD = (hidden_BLD * mask_BL1).sum(dim=1)  # the length takes the number of tokens out again
            point_TD[place_B] = torch.nn.functional.normalize(sum_BD.float(), dim=1).numpy()
    if not np.isfinite(point_TD).all():
        raise BadInput(f"embed.model: {config.model} gives what is no number; its weights are damaged")
    return point_TD


@lru_cache(maxsize=1)
def _load(folder: Path, stamp: Stamp) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The model in a folder as `stamp` found it; the last one stays, since callers embed tile by tile."""
    del stamp  # a changed file is another model
    from skyloom.core.llm.backbones import load_backbone, load_tokenizer
    from skyloom.core.llm.config import BackboneConfig

    _check_pooling(folder)
    backbone = BackboneConfig(model=str(folder))
    tokenizer = load_tokenizer(backbone)
    return load_backbone(backbone, tokenizer, "none"), tokenizer


def _stamp(folder: Path) -> Stamp:
    stats = ((path.name, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _folder(config: EmbedConfig) -> Path:
    folder = Path(config.model).expanduser()
    if not (folder / "config.json").is_file():
        raise BadInput(
            f"embed.model: {config.model}: no folder with a config.json; give {HASHED!r} or a sentence model"
        )
    return folder


def _check_pooling(folder: Path) -> None:
    """Sentence models say in a file how token states become one point; without it, the mean is taken."""
    file = folder / "1_Pooling" / "config.json"
    if not file.is_file():
        return
    (told,) = store.read_json_rows(file)
    if isinstance(told, Reject) or not told.data.get("pooling_mode_mean_tokens", False):
        raise BadInput(f"embed.model: {file} asks for another pooling than the mean over tokens, which is all we know")
