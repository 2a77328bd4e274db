"""Random streams by name: every consumer derives its own from one seed, so adding one never shifts another.

Formula  SeedSequence(entropy = blake2b(seed / name / name ...)) -> PCG64 (O'Neill 2014), numpy's default generator
Flow     everywhere; there is no global random state in Skyloom.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for a named consumer, for example `derive(seed, "train", "init")` for torch's generator."""
    text = "/".join(f"{len(str(part))}:{part}" for part in (seed, *names))  # lengths: ("a", "bc") is not ("ab", "c")
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """An independent generator for a named consumer."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(derive(seed, *names))))


def mix(a: U64, b: U64 | np.uint64) -> U64:
    """64 bits of two numbers, in their order (the finaliser of splitmix64, Steele, Lea & Flood 2014): a hash, and an order by chance."""
    mixed = (a * np.uint64(0x9E3779B97F4A7C15)) ^ (np.atleast_1d(b) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(1))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
