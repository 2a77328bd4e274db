"""Last-layer Laplace: how sure the reward model is of a score, from the curvature of its pairs around the trained head.

Formula  H = λI + Σ w p(1 - p) d dᵀ / T²,  d = h_chosen - h_rejected,  p = sigmoid(head·d / T),  var(head·x) = xᵀ H⁻¹ x
         λ maximises the evidence  ½ D log λ - ½ λ|head|² - ½ log det H:  its one root of  λ|head|² = γ = Σ a/(λ + a), a the
         eigenvalues of H - λI; P(first wins) = sigmoid(gap / √(T² + π/8 var))
Source   last layer, post hoc: Daxberger et al. 2021 (Laplace Redux, arXiv 2106.14806); for reward models and best-of-N: Yang et
         al. 2024 (arXiv 2402.13210, over LoRA weights; here the head alone); γ and the probit form: MacKay 1992
Flow     collect -> curate -> [train: once, after calibrate.py] -> evaluate, score
Run      laplace.fit(blocks, head_D, temperature=calibration.temperature).save(folder / laplace.FILE)
Limits   The backbone is taken as certain, and the head as the optimum. Pairs say nothing about what both sides share (a constant
         feature, the prompt's own level): along it the variance of one score stays the prior's 1/λ however many pairs there are,
         and it cancels in every comparison. `gap_std` of a difference is therefore the honest number; for R replies to one prompt
         take gap_std(h_RD - h_RD.mean(axis=0)). λ is not fitted on held-out likelihood: T has taken that slack already, and the
         fit would run to λ = ∞, a model sure of everything.
Shapes   N pairs or replies, B rows of a block, D hidden width; any shape for what is applied to gaps and scores
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, pi
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.linalg import cholesky, eigvalsh, solve_triangular
from scipy.optimize import brentq
from scipy.special import expit

from skyloom.core import store
from skyloom.core.errors import BadInput

FILE: str = "laplace.safetensors"
BLOCK: int = 4096
"""Rows in float64 at once: 128 MB at a width of 4,096."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Laplace:
    """A Gaussian over heads, centred on the trained one."""

    factor_DD: Float[np.ndarray, "D D"]
    """Lower Cholesky factor of H, float64."""
    temperature: float
    """The temperature that H was built with, in reward units."""
    prior: float
    """λ, the precision of the head's prior, > 0."""
    effective: float
    """γ: how many of the D directions the pairs determine rather than the prior, 0 to D."""
    n: int
    """Pairs behind it."""

    @property
    def width(self) -> int:
        """Hidden width D."""
        return len(self.factor_DD)

    def std(self, h_ND: ArrayLike) -> Float[np.ndarray, " N"]:
        """Standard deviation of a single score, reward units, at most |h|/√λ; see Limits for the part that cancels.

        Raises BadInput for another width or a value that is not finite.
        """
        features_ND = np.atleast_2d(np.asarray(h_ND))
        parts = [self._std(part_BD) for part_BD in _blocks([features_ND], self.width)]
        return np.concatenate([np.zeros(0), *parts])

    def gap_std(self, d_ND: ArrayLike) -> Float[np.ndarray, " N"]:
        """Standard deviation of score(first) - score(second), reward units, from d = h_first - h_second. Raises as `std`."""
        return self.std(d_ND)

    def p_win(self, gap: ArrayLike, gap_std: ArrayLike) -> Float[np.ndarray, "..."]:
        """P(first is better), 0 to 1, averaged over the heads (MacKay's probit form): nearer to ½ where the pairs say little.

        On replies like the validation ones T alone is as good; this is for replies unlike them.
        """
        spread = np.sqrt(self.temperature**2 + pi / 8 * np.asarray(gap_std, dtype=np.float64) ** 2)
        return np.asarray(expit(np.asarray(gap, dtype=np.float64) / spread))

    def save(self, path: Path) -> None:
        """Write the lower triangle and the four numbers as safetensors, atomically: 4 D² bytes."""
        numbers = np.array([self.temperature, self.prior, self.effective, self.n], dtype=np.float64)
        store.write_bytes(path, save({"factor": self.factor_DD[np.tril_indices(self.width)], "numbers": numbers}))

    @classmethod
    def load(cls, path: Path, width: int) -> "Laplace":
        """Read what `save` wrote for a model of this hidden width; BadInput for a damaged or foreign file."""
        try:
            tensors = load(store.read_bytes(path))
            packed, (temperature, prior, effective, n) = tensors["factor"], tensors["numbers"].tolist()
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise BadInput(f"{path}: damaged ({str(error).splitlines()[0]}); fit it again") from error
        if packed.shape != (width * (width + 1) // 2,) or packed.dtype != np.float64:
            raise BadInput(f"{path}: {packed.size} numbers of {packed.dtype}, not for a model of width {width}")
        factor_DD = np.zeros((width, width))
        factor_DD[np.tril_indices(width)] = packed
        numbers_fit = all(isfinite(x) for x in (temperature, prior, effective, n)) and min(temperature, prior, n) > 0
        if not numbers_fit or not np.isfinite(packed).all() or (np.diag(factor_DD) <= 0).any():
            raise BadInput(f"{path}: damaged (a number is out of range); fit it again")
        return cls(factor_DD=factor_DD, temperature=temperature, prior=prior, effective=effective, n=int(n))

    def _std(self, h_BD: Float[np.ndarray, "B D"]) -> Float[np.ndarray, " B"]:
        whitened_DB = solve_triangular(self.factor_DD, h_BD.T, lower=True, check_finite=False)
        return np.sqrt((whitened_DB**2).sum(axis=0))


def fit(
    blocks: Iterable[np.ndarray],
    head_D: ArrayLike,
    *,
    temperature: float,
    weight_N: ArrayLike | None = None,
    prior: float | None = None,
) -> Laplace:
    """The posterior of the head from difference features h_chosen - h_rejected, which are seen once, block after block.

    A block may be of any float type and length, a memory-mapped array too; which side is chosen does not matter. `weight_N`
    (>= 0, in the order of the blocks) counts a pair that often. `prior` None: the evidence chooses. Raises BadInput for
    another width, values that are not finite, no information at all, or a prior too small for float64.
    """
    head = np.asarray(head_D, dtype=np.float64)
    if head.ndim != 1 or not np.isfinite(head).all() or not head.any():
        raise BadInput(f"laplace: needs a trained head of one row, finite and not all zero, got shape {head.shape}")
    if not (isfinite(temperature) and temperature > 0) or not (prior is None or (isfinite(prior) and prior > 0)):
        raise BadInput(f"laplace: temperature and prior must be > 0, got {temperature} and {prior}")
    information_DD, n = _information(blocks, head, temperature, weight_N)
    eigenvalue_D = np.clip(eigvalsh(information_DD), 0.0, None)
    if eigenvalue_D[-1] == 0:
        raise BadInput("laplace: the pairs carry no information: none given, all identical sides, or all saturated")
    precision = _evidence_prior(eigenvalue_D, float(head @ head)) if prior is None else prior
    np.fill_diagonal(information_DD, information_DD.diagonal() + precision)
    try:
        factor_DD = cholesky(information_DD, lower=True, overwrite_a=True)
    except np.linalg.LinAlgError as error:
        raise BadInput(f"laplace: a prior of {precision:g} is too small for float64; raise it") from error
    effective = float((eigenvalue_D / (precision + eigenvalue_D)).sum())
    return Laplace(factor_DD=factor_DD, temperature=temperature, prior=precision, effective=effective, n=n)


def lower(score: ArrayLike, std: ArrayLike, z: float = 1.0) -> Float[np.ndarray, "..."]:
    """Score minus z standard deviations, z >= 0: best-of-N by it avoids replies that the pairs say little about.

    Yang et al. 2024 (the penalty by standard deviation). Take `gap_std` from the replies' mean, not `std`: see Limits.
    """
    if not (isfinite(z) and z >= 0):
        raise BadInput(f"a lower bound needs z >= 0, got {z}")
    return np.asarray(np.asarray(score, dtype=np.float64) - z * np.asarray(std, dtype=np.float64))


def _information(
    blocks: Iterable[np.ndarray],
    head_D: Float[np.ndarray, " D"],
    temperature: float,
    weight_N: ArrayLike | None,
) -> tuple[Float[np.ndarray, "D D"], int]:
    """Σ w p(1 - p) d dᵀ / T² and how many pairs it holds."""
    weights = None if weight_N is None else np.asarray(weight_N, dtype=np.float64)
    if weights is not None and not (np.isfinite(weights) & (weights >= 0)).all():
        raise BadInput("laplace: weights must be finite and >= 0")
    total_DD, n = np.zeros((len(head_D), len(head_D))), 0
    for d_BD in _blocks(blocks, len(head_D)):
        logit_B = d_BD @ head_D / temperature
        weight_B = np.ones(len(d_BD)) if weights is None else weights[n : n + len(d_BD)]
        n += len(d_BD)
        if len(weight_B) != len(d_BD):
            break
        root_B = np.sqrt(weight_B * expit(logit_B) * expit(-logit_B)) / temperature
        scaled_BD = root_B[:, None] * d_BD
        total_DD += scaled_BD.T @ scaled_BD
    if weights is not None and n != len(weights):
        raise BadInput(f"laplace: {len(weights)} weights for {n} or more pairs")
    return total_DD, n


def _blocks(blocks: Iterable[np.ndarray], width: int) -> Iterable[Float[np.ndarray, "B D"]]:
    """Checked float64 pieces of at most BLOCK rows."""
    row = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != width:
            raise BadInput(f"laplace: features of shape {block.shape} do not fit a head of width {width}")
        for start in range(0, len(block), BLOCK):
            piece = np.asarray(block[start : start + BLOCK], dtype=np.float64)
            if not np.isfinite(piece).all():
                bad = row + start + int((~np.isfinite(piece)).any(axis=1).argmax())
                raise BadInput(f"laplace: row {bad}: a feature is not finite")
            yield piece
        row += len(block)


def _evidence_prior(eigenvalue_D: Float[np.ndarray, " D"], square: float) -> float:
    """The λ of the greatest evidence: γ(λ) falls and λ|head|² rises, so they meet once.

    The bracket always holds the root: at its lower end γ >= ½ >= λ|head|², at its upper end λ|head|² = D > γ.
    """

    def surplus(log_prior: float) -> float:
        prior = float(np.exp(log_prior))
        return float((eigenvalue_D / (prior + eigenvalue_D)).sum()) - prior * square

    low, high = min(float(eigenvalue_D[-1]), 0.5 / square), len(eigenvalue_D) / square
    return float(np.exp(cast(float, brentq(surplus, np.log(low) - 1e-9, np.log(high) + 1e-9, xtol=1e-12))))
