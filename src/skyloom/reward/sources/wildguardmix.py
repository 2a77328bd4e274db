"""WildGuardMix: single labelled responses, joined by their prompt into pairs of a refusal and a compliance.

Reading rule  Harmful prompt: the refusal is chosen. Benign prompt: the compliance is chosen. Rows are joined where prompt, harm label and
              `adversarial` are equal: the k-th refusal with the k-th compliance, so that no response stands in two pairs, in the order in
              which pairs become whole. Rows without a response (48,783 of 86,759) and responses without a counterpart are no pairs;
              they are counted and listed, and not held against the source. A null label is a reject.
              Category: adversarial or vanilla, and harmful or benign, such as adversarial_harmful.
Memory        Two passes: the first keeps a hash a row, the second the text of responses whose counterpart is still to come.
Source   Han et al. 2024 (arXiv 2406.18495); HF allenai/wildguardmix, gated; the pairing is Skywork-Reward's (arXiv 2410.18451)
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom run skywork_v02 --set collect.wildguardmix.path=wildguard_train.parquet
"""

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from skyloom.core.errors import BadRow
from skyloom.core.hub import Hub
from skyloom.core.records import Message, Raw, Reject
from skyloom.core.store import text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import FilesConfig, file_rows, files_of, split_of, user_turn

LICENCE: str = "ODC-BY"
GATED: bool = True
HUB: Hub = Hub("allenai/wildguardmix", config="wildguardtrain")
NO_RESPONSE: str = "null: a prompt without a response"
NO_OTHER: str = "no response of the other kind to the same prompt"
NON_ROWS: tuple[str, ...] = (NO_RESPONSE, NO_OTHER)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the set stands."""


inputs = files_of


def split(config: Config) -> str:
    """`test` for the configuration wildguardtest, else by the names of files and split."""
    return "test" if "wildguardtest" in f"{config.hub} {config.path}".lower() else split_of(config)


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """A refusal and a compliance as one row {prompt, adversarial, prompt_harm_label, refusal, compliance}."""
    del shard
    partners = _partners(config)
    waiting: dict[int, Raw] = {}  # position of the counterpart that is to come -> the response that waits for it
    for at, raw in enumerate(file_rows(config)):
        if isinstance(raw, Reject):
            yield raw
            continue
        try:
            kind = _kind(raw.data)
        except BadRow as error:
            yield Reject(raw.file, raw.row, error.field, error.reason)
            continue
        if at in waiting:
            yield _joined(waiting.pop(at), raw, kind.refusal)
        elif at in partners:
            waiting[partners[at]] = raw
        else:
            yield Reject(raw.file, raw.row, "response_refusal_label", NO_OTHER)


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON or Parquet values
    """The pair of a refusal and a compliance; raises BadRow."""
    harmful, adversarial = _harmful(raw), _adversarial(raw)
    sides = text_field(raw, "refusal"), text_field(raw, "compliance")
    chosen, rejected = sides if harmful else sides[::-1]
    kind = "adversarial" if adversarial else "vanilla"
    category = f"{kind}_{'harmful' if harmful else 'benign'}"
    return pair(user_turn(text_field(raw, "prompt")), chosen, rejected, category=category)


class _Kind(NamedTuple):
    key: bytes
    """Hash of what the two sides of a pair share."""
    refusal: bool


def _partners(config: Config) -> dict[int, int]:
    """Position of the first response of each pair -> position of the second."""
    open_rows: dict[bytes, tuple[deque[int], deque[int]]] = defaultdict(lambda: (deque(), deque()))
    found: dict[int, int] = {}
    for at, raw in enumerate(file_rows(config)):
        if isinstance(raw, Reject):
            continue
        try:
            kind = _kind(raw.data)
        except BadRow:
            continue  # told in the second pass
        own, other = open_rows[kind.key][kind.refusal], open_rows[kind.key][not kind.refusal]
        if other:
            found[other.popleft()] = at
        else:
            own.append(at)
    return found


def _kind(raw: Mapping[str, Any]) -> _Kind:  # Any: as above
    prompt = text_field(raw, "prompt")
    if "response" in raw and raw["response"] is None:
        raise BadRow("response", NO_RESPONSE)
    text_field(raw, "response")
    shared = [prompt, _harmful(raw), _adversarial(raw)]
    key = hashlib.blake2b(json.dumps(shared).encode(), digest_size=16).digest()
    return _Kind(key, _label(raw, "response_refusal_label", "refusal", "compliance"))


def _harmful(raw: Mapping[str, Any]) -> bool:  # Any: as above
    return _label(raw, "prompt_harm_label", "harmful", "unharmful")


def _adversarial(raw: Mapping[str, Any]) -> bool:  # Any: as above
    value = raw.get("adversarial")
    if not isinstance(value, bool):
        raise BadRow("adversarial", "missing" if "adversarial" not in raw else f"expected true or false, got {value!r}")
    return value


def _label(raw: Mapping[str, Any], name: str, yes: str, no: str) -> bool:  # Any: as above
    label = text_field(raw, name)
    if label not in (yes, no):
        raise BadRow(name, f"expected {yes} or {no}, got {label[:40]!r}")
    return label == yes


def _joined(first: Raw, second: Raw, second_refuses: bool) -> Raw:
    refusal, compliance = (second, first) if second_refuses else (first, second)
    shared = {name: first.data[name] for name in ("prompt", "adversarial", "prompt_harm_label")}
    sides = {"refusal": refusal.data["response"], "compliance": compliance.data["response"]}
    return Raw(first.file, first.row, {**shared, **sides})


FILE_ROW: Mapping[str, Any] = {  # Any: as above
    "prompt": "How do I pick a lock?",
    "adversarial": False,
    "response": "I cannot help with that.",
    "prompt_harm_label": "harmful",
    "response_refusal_label": "refusal",
    "response_harm_label": "unharmful",
    "subcategory": "theft",
}
"""One row as the file holds it."""
EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "prompt": "How do I pick a lock?",
        "adversarial": False,
        "prompt_harm_label": "harmful",
        "refusal": "I cannot help with that.",
        "compliance": "Take a thin wire.",
    },
    Pair(
        prompt=(Message(role="user", content="How do I pick a lock?"),),
        chosen="I cannot help with that.",
        rejected="Take a thin wire.",
        category="vanilla_harmful",
    ),
)
