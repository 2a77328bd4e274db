"""The compiled entry points: compiled once a machine, then loaded from the cache in about half a second.

Flow    state -> [KERNELS] -> setup, step, orders, observe
Run     NUMBA_DISABLE_JIT=1 leaves everything plain Python
Shapes  see layout; N games, K decisions (game and player - 1), D placements
"""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
from numba.core import config as numba_config
from numpy.typing import NDArray

from skyloom.arena.engine import observe as observe_file
from skyloom.arena.engine import orders, setup, step
from skyloom.arena.engine.geometry import Row, Table
from skyloom.arena.engine.jit import cache_dir, njit

try:
    import fcntl
except ImportError:  # not on Windows: two processes may then compile at once, which is only slower
    fcntl = None

_SETUP = "void(i4[::1], i8[:,::1], i8[:,::1], i8[::1], i8[:,::1], i8[:,::1], i8, i8)"
_ADVANCE = "void(i4[:,::1], i4[:,::1], i8[:,::1], i8[:,::1], i8[::1], i8[:,::1])"
_COMMAND = "i8(i4[::1], i8[:,::1], i8[:,::1], i8[::1], i8[:,::1], i8, i4[::1])"
_OBSERVE = "void(i4[:,::1], i8[:,::1], i8[:,::1], i4[:,::1], i4[:,::1], u1[:,:,:,::1], i4[:,:,::1], i4[:,::1])"


class Kernels(NamedTuple):
    """What the host calls; all arrays C-contiguous."""

    setup: Callable[[Row, Table, Table, Table, Table, Table, int, int], None]
    """(state, units, abilities, economy, ground, placements, seed, max loops)."""
    advance: Callable[[Row, Row, Table, Table, Table, Table], None]
    """(states N_S, scratch N_W, units, abilities, economy, ground): every game to its next decision."""
    command: Callable[[Row, Table, Table, Table, Table, int, Row], int]
    """(state, units, abilities, economy, ground, p, command) -> ActionResult code."""
    observe: Callable[[Row, Table, Table, Row, Row, NDArray[np.uint8], Row, Row], None]
    """(states N_S, units, ground, who K_2, scalars, planes, units K_R_C, counts)."""


def setup_game(s: Row, t: Table, a: Table, e: Table, g: Table, d: Table, seed: int, most: int) -> None:
    """See Kernels.setup."""
    setup.setup(s, t, a, e, g, d, seed, most)


def advance_games(states_NS: Row, scratch_NW: Row, t: Table, a: Table, e: Table, g: Table) -> None:
    """See Kernels.advance."""
    for n in range(states_NS.shape[0]):
        step.advance(states_NS[n], scratch_NW[n], t, a, e, g)


def command_game(s: Row, t: Table, a: Table, e: Table, g: Table, p: int, c: Row) -> int:
    """See Kernels.command."""
    return orders.command(s, t, a, e, g, p, c)


def observe_games(
    states_NS: Row,
    t: Table,
    g: Table,
    who_K2: Row,
    scalars_KS: Row,
    planes_KPYX: NDArray[np.uint8],
    rows_KRC: Row,
    counts_K3: Row,
) -> None:
    """See Kernels.observe."""
    for k in range(who_K2.shape[0]):
        s = states_NS[int(who_K2[k, 0])]
        observe_file.observe(s, t, g, int(who_K2[k, 1]), scalars_KS[k], planes_KPYX[k], rows_KRC[k], counts_K3[k])


_ENTRIES: tuple[tuple[Callable[..., object], str], ...] = (
    (setup_game, _SETUP),
    (advance_games, _ADVANCE),
    (command_game, _COMMAND),
    (observe_games, _OBSERVE),
)


def _load(progress: Callable[[str], None] | None) -> Kernels:
    functions = [function for function, _ in _ENTRIES]
    if not _setting("DISABLE_JIT"):
        folder = cache_dir()
        with _locked(folder / "lock"):
            if progress is not None and len(list(folder.rglob("*.nbi"))) < len(_ENTRIES):
                progress("compiling the game engine (once on this machine, about half a minute)")
            functions = [_compile(function, signature, folder) for function, signature in _ENTRIES]
    return Kernels(*cast(list[Callable[..., None]], functions))  # pyright: ignore[reportArgumentType]


def _compile(function: Callable[..., object], signature: str, folder: Path) -> Callable[..., object]:
    """Compile or load one entry point; the process's own cache directory for other numba code stays as it was."""
    before = _setting("CACHE_DIR")
    setattr(numba_config, "CACHE_DIR", str(folder))  # noqa: B010
    try:
        return njit(signature, cache=True)(function)
    finally:
        setattr(numba_config, "CACHE_DIR", before)  # noqa: B010


def _setting(name: str) -> object:
    """numba makes its settings at run time, so no type checker knows them."""
    return getattr(numba_config, name)


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    """One process compiles, the others wait and then load."""
    with path.open("w") as file:
        _flock(file, exclusive=True)
        try:
            yield
        finally:
            _flock(file, exclusive=False)


def _flock(file: IO[str], *, exclusive: bool) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_UN)


_loaded: list[Kernels] = []


def load(progress: Callable[[str], None] | None = None) -> Kernels:
    """The entry points; `progress` gets one line if they must be compiled first."""
    if not _loaded:
        _loaded.append(_load(progress))
    return _loaded[0]
