"""Scores of the generated Magpie sets: means that make the paper's own rules keep the paper's own numbers.

In units of one standard deviation the adjusted mean score of a prompt (offsets taken out) is N(m_i, 1) in source i, whatever its
category. Selection ranks a category's pool over all four sources, so its cut t_k for a share k solves

    sum_i N_i Q(t_k - m_i) / sum_i N_i = k            Q(x) = P(N(0, 1) > x), N_i the pool of source i
    kept_i = N_i (p Q(t_0.3 - m_i) + (1 - p) Q(t_0.1 - m_i))     p the share of math and code prompts

Only differences of the m_i matter, so Pro-3.1 stands at 0 and the other three are solved for. The published counts then follow from
the published rules up to sampling noise, and Air, scored 0.1 too high, has a higher raw mean than Pro, as the paper says it had.

Source   counts, rules and offsets: Skywork-Reward (arXiv 2410.18451); normal scores of one width and the label noise are ours
Flow     world/sets.py draws a prompt's mean and its five scores here
Run      python -c "from skyloom.reward.world.sets_scores import means; print(means())"
Shapes   S sources, N prompts, R responses
"""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from scipy.optimize import root
from scipy.special import ndtr

SPREAD: float = 0.03
"""Standard deviation of a prompt's mean score, in score units (ours; small enough that Air's raw mean exceeds Pro's)."""
CENTRE: float = 0.15
"""Mean score of Pro-3.1 (ours)."""
NOISE: float = 0.3
"""P(label swapped) = NOISE * P(N(0, 1) > adjusted score): one curve for all four sources, so a better score means a better label,
and a source's bias shows as a shift of its curve (ours)."""
KEPT_SHARES: tuple[float, float] = (0.3, 0.1)
"""The paper's shares of the large and of the other categories."""
LARGE: tuple[str, ...] = ("Math", "Coding & Debugging")
"""The large categories."""


@functools.cache
def facts() -> Mapping[str, Any]:  # Any: TOML of the shape that sets.toml shows
    """sets.toml."""
    return tomllib.loads(Path(__file__).with_name("sets.toml").read_text(encoding="utf-8"))


class Scored(NamedTuple):
    """The drawn numbers of one Magpie set."""

    category_N: list[str]
    quality_N: np.ndarray
    """Adjusted mean score in standard deviations: the truth that a selection should follow."""
    mean_N: np.ndarray
    """Mean score as shipped, bias included, in score units."""
    right_N: np.ndarray
    """bool: whether the higher score stands at the better answer."""
    leak_N: np.ndarray
    """bool: whether the prompt holds a RewardBench prompt."""


@functools.cache
def means() -> dict[str, float]:
    """Source -> mean adjusted score in standard deviations, Pro-3.1 at 0, such that the paper's rules keep the paper's shares."""
    magpie = facts()["magpie"]
    names = list(magpie["pools"])
    pool_S = np.array([magpie["pools"][name] for name in names], float)
    target_S = np.array([magpie["kept"][name] for name in names], float)
    categories = magpie["categories"]
    large = sum(categories[name] for name in LARGE) / sum(categories.values())
    home = names.index("magpie_pro31")

    def misses(solution: np.ndarray) -> np.ndarray:
        mean_S, cuts = np.insert(solution[:-2], home, 0.0), solution[-2:]
        above_S2 = ndtr(mean_S[:, None] - cuts)
        kept_S = pool_S * (above_S2 @ (large, 1 - large))
        # Ratios to Pro-3.1's: the rules keep 0.2 % more rows in all than were published, a difference that all four share.
        ratio_S = np.log(kept_S / target_S)
        return np.concatenate(
            [np.delete(ratio_S - ratio_S[home], home), pool_S @ above_S2 / pool_S.sum() - KEPT_SHARES]
        )

    solved = root(misses, np.array([0.5, -1.0, -2.0, 0.5, 1.0]), tol=1e-10)
    mean_S: list[float] = np.insert(solved.x[:-2], home, 0.0).tolist()
    return dict(zip(names, mean_S, strict=True))


def draw(rng: Generator, name: str, count: int) -> Scored:
    """Categories, scores, label errors and leaks of `count` prompts of one Magpie set."""
    magpie = facts()["magpie"]
    weights = np.array(list(magpie["categories"].values()), float)
    names = list(magpie["categories"])
    quality_N = rng.normal(means()[name], 1.0, count)
    return Scored(
        category_N=[names[k] for k in rng.choice(len(names), size=count, p=weights / weights.sum())],
        quality_N=quality_N,
        mean_N=CENTRE + SPREAD * quality_N + magpie["bias"].get(name, 0.0),
        right_N=rng.random(count) >= NOISE * ndtr(-quality_N),
        leak_N=rng.random(count) < magpie["leaks"][name],
    )


def spread_out(rng: Generator, mean_N: np.ndarray, responses: int) -> np.ndarray:
    """float [N, R]: scores of each prompt's responses, strictly falling, with the given mean."""
    step = 0.01
    level_R = step * (np.arange(responses)[::-1] - (responses - 1) / 2)
    jitter_NR = rng.uniform(-0.4 * step, 0.4 * step, (len(mean_N), responses))
    offset_NR = level_R + jitter_NR - jitter_NR.mean(axis=1, keepdims=True)
    return np.round(mean_N[:, None] + offset_NR, 7)
