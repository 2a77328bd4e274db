"""Random streams by name: every consumer derives its own from one seed, so adding one never shifts another.

Formula  SeedSequence(entropy = blake2b(seed / name / name ...)) -> PCG64 (O'Neill 2014), numpy's default generator
Flow     everywhere; there is no global random state in Skyloom.
"""

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for a named consumer, for example `derive(seed, "train", "init")` for torch's generator."""
    text = "/".join(f"{len(str(part))}:{part}" for part in (seed, *names))  # lengths: ("a", "bc") is not ("ab", "c")
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """An independent generator for a named consumer."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(derive(seed, *names))))
