"""Frozen features: what a reward head would read of every side of every pair, computed once and kept on disk.

Formula  the key of a side is blake2b of its prompt and its text, so a side that stands in several pairs is computed once, and replies
         of one prompt share its tokens
Layout   DIR/about.json (model, protocol), DIR/part-<hash of its keys>.npz: key_N (16 bytes each), feature_ND (float32), tokens_N
Flow     pairs -> [features] -> lab.py (heads trained in seconds)
Run      skyloom reward lab --model MODEL --data PAIRS --out DIR
Resume   a part is written whole under its own name; the same call goes on with the sides that no part holds
Shapes   N sides, M pairs, D hidden width
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Bool, Float

from skyloom.core import store
from skyloom.core.config import JSON
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.progress import track
from skyloom.core.records import Message, Raw
from skyloom.core.run import content_of
from skyloom.reward.records import Pair, prompt_text

if TYPE_CHECKING:
    from skyloom.reward.encoding import Encoded
    from skyloom.reward.score import Scorer

PROMPTS: int = 16
"""Prompts of one part: a minute's work for a small model on a laptop, so a kill costs no more."""
ABOUT: str = "about.json"


class Sides(NamedTuple):
    """Both sides of M pairs."""

    chosen_MD: Float[np.ndarray, "M D"]
    rejected_MD: Float[np.ndarray, "M D"]
    known_M: Bool[np.ndarray, " M"]
    """False where a side could not be encoded; its rows are zero."""


@dataclass(frozen=True)
class Features:
    """Features of sides, by key."""

    place: dict[bytes, int]
    feature_ND: Float[np.ndarray, "N D"]
    tokens: int
    """Tokens of all sides, prompts counted for each."""

    def of(self, pairs: Sequence[Pair]) -> Sides:
        """Both sides of pairs."""
        width = self.feature_ND.shape[1]
        places_M2 = np.asarray(
            [[self.place.get(key(pair, text), -1) for text in (pair.chosen, pair.rejected)] for pair in pairs]
        ).reshape(-1, 2)
        known_M = np.asarray((places_M2 >= 0).all(axis=1))
        chosen_MD, rejected_MD = np.zeros((2, len(pairs), width), dtype=self.feature_ND.dtype)
        chosen_MD[known_M], rejected_MD[known_M] = (self.feature_ND[places_M2[known_M, side]] for side in (0, 1))
        return Sides(chosen_MD, rejected_MD, known_M)


def key(pair: Pair, text: str) -> bytes:
    """16 bytes that stand for one side."""
    told = f"{prompt_text(pair.prompt)}\x1f{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(told, digest_size=16).digest()


def cache(pairs: Iterable[Pair], folder: Path, load: "Callable[[], Scorer]") -> Features:
    """Features of every side, computed where `folder` does not hold them yet; `load` is called only then.

    Sides that cannot be encoded (special tokens in the text, too long) get none: `Features.of` says which pairs miss one.
    Raises BadInput where the folder belongs to another model or protocol.
    """
    by_prompt: dict[str, tuple[tuple[Message, ...], dict[bytes, str]]] = {}
    for pair in pairs:
        sides = by_prompt.setdefault(prompt_text(pair.prompt), (pair.prompt, {}))[1]
        sides.update({key(pair, text): text for text in (pair.chosen, pair.rejected)})
    tried = _tried(folder)
    missing = [
        (prompt, {side: text for side, text in sides.items() if side not in tried})
        for prompt, sides in by_prompt.values()
    ]
    missing = [(prompt, sides) for prompt, sides in missing if sides]
    if missing:
        scorer = load()
        place = Path(scorer.name).expanduser()
        weights = (
            content_of(place) if place.exists() else ""
        )  # a name on the hub stands for its weights, a path does not
        _own(folder, {**scorer.protocol, "weights": weights})
        parts = [missing[start : start + PROMPTS] for start in range(0, len(missing), PROMPTS)]
        for part in track(parts, "features", len(parts)):
            _write(folder, part, scorer)
    return read(folder)


def read(folder: Path) -> Features:
    """Everything that a folder holds; raises BadInput where there is nothing, or a part is torn."""
    place: dict[bytes, int] = {}
    blocks: list[np.ndarray] = []
    tokens = 0
    for path in sorted(folder.glob("part-*.npz")):
        key_N, known_N, feature_ND, tokens_N = _arrays(path, "key_N", "known_N", "feature_ND", "tokens_N")
        start = sum(map(len, blocks))
        place.update({bytes(each): start + k for k, each in enumerate(key_N[known_N])})
        blocks.append(feature_ND)
        tokens += int(tokens_N.sum())
    if not place:
        raise BadInput(f"{folder}: holds no features; is every pair too long for the model?")
    return Features(place, np.concatenate(blocks), tokens)


def _write(folder: Path, part: Sequence[tuple[tuple[Message, ...], dict[bytes, str]]], scorer: "Scorer") -> None:
    """One part: the sides of some prompts, those that cannot be encoded among them, so that they are not tried again."""
    keys: list[bytes] = []
    known: list[bool] = []
    groups: list[Encoded] = []
    for prompt, sides in part:
        good = {side: text for side, text in sides.items() if _encodes(scorer, prompt, text)}
        keys += [*good, *(side for side in sides if side not in good)]
        known += [True] * len(good) + [False] * (len(sides) - len(good))
        if good:
            groups.append(scorer.encode(prompt, list(good.values())))
    found = scorer.features(groups)
    blocks = np.concatenate(found) if found else np.zeros((0, scorer.model.width))
    tokens = [len(row) for group in groups for row in group.group.rows]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        key_N=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 16),
        known_N=np.asarray(known),
        feature_ND=blocks.astype(np.float32),
        tokens_N=np.asarray(tokens, dtype=np.int64),
    )
    name = hashlib.blake2b(b"".join(keys), digest_size=8).hexdigest()
    store.write_bytes(folder / f"part-{name}.npz", buffer.getvalue())


def _encodes(scorer: "Scorer", prompt: tuple[Message, ...], text: str) -> bool:
    """Each side is judged alone: a long reply must not cost its prompt's other replies their tokens."""
    try:
        return scorer.encode(prompt, [text]).cut == 0 or scorer.config.over_long == "truncate"
    except BadRow:
        return False


def about(folder: Path) -> dict[str, JSON]:
    """The protocol under which a folder's features were made; empty where it does not say."""
    rows = store.read_json_rows(folder / ABOUT) if (folder / ABOUT).exists() else ()
    return next((dict(raw.data) for raw in rows if isinstance(raw, Raw)), {})


def _own(folder: Path, protocol: dict[str, JSON]) -> None:
    """Write the protocol, or refuse a folder that was made under another one."""
    kept = {name: value for name, value in protocol.items() if name not in ("device", "layouts")}
    folder.mkdir(parents=True, exist_ok=True)
    found = about(folder)
    if found and found != kept:
        raise BadInput(f"{folder}: holds features of another model or length; choose another directory")
    if not found:
        store.write_json(folder / ABOUT, kept)


def _tried(folder: Path) -> set[bytes]:
    """Keys of all sides that some part has seen."""
    seen: set[bytes] = set()
    for path in folder.glob("part-*.npz"):
        seen.update(bytes(each) for each in _arrays(path, "key_N")[0])
    return seen


def _arrays(path: Path, *names: str) -> "list[np.ndarray]":
    """Some arrays of a part; raises BadInput where it is torn, or no part at all."""
    try:
        with np.load(path, allow_pickle=False) as part:
            return [part[name] for name in names]
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise BadInput(f"{path}: unreadable ({error}); delete it and run the same command again") from error
