"""Benchmarks in parts: which part a file is named after, and the two rules that put parts together.

Flow     evals/x.py names its rule -> evals/_scoring.py evaluates it on every resample
Shapes   R resamples, G groups
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np
from jaxtyping import Float

from skyloom.core.errors import BadInput
from skyloom.reward.evals._scoring import Means, Rule


def part_of(file: str, parts: Mapping[str, str]) -> str:
    """The part whose key stands in the file's name, else in the nearest folder's; case, blanks and signs do not count.

    `parts`: key (small letters and digits) -> part. Raises BadInput where no part of the path names one.
    """
    for step in reversed(PurePath(file).parts):
        plain_step = "".join(character for character in step.lower() if character.isalnum())
        found = next((part for key, part in parts.items() if key in plain_step), None)
        if found is not None:
            return found
    raise BadInput(
        f"{file}: no part of its path names one of {', '.join(parts.values())}; rename the file after its set"
    )


def weighted(weights: Mapping[str, float], column: int = 0) -> Rule:
    """Sum of weight * mean over the groups / sum of the weights; rows as weights make it the mean over all rows."""

    def rule(means: Means) -> Float[np.ndarray, " R"]:
        parts_GR = np.stack([weight * means[group][:, column] for group, weight in weights.items()])
        return parts_GR.sum(axis=0) / sum(weights.values())

    return rule


def plain(rules: Sequence[Rule]) -> Rule:
    """Plain mean of rules, at least one."""
    return lambda means: np.stack([rule(means) for rule in rules]).mean(axis=0)
