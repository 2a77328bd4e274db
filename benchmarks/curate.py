"""Curate the pool of Skywork-Reward: 378,273 generated pairs (about 330 million words), from collected parts to what is kept, and why.

Chain    exact duplicates, near duplicates of the pair, a shared 7-gram of any of the three texts with 3,000 items, top-k per category
Bars     300 s and 6 GB on two cores; 120 s is the stretch. Memory is the sum over this process and its workers, sampled.
Peer     the same steps as one would script them (a set of folded texts, datasketch's MinHashLSH with 128 permutations on sets of three
         words, scikit-learn's CountVectorizer(ngram_range=(7, 7)) fitted on the items), one process, on the first 2,000 pairs; the
         ratio is its time over ours on the same pairs, workers off. Neither the pool nor the peer's time is extrapolated.
         AllenAI's decon (Rust), a peer of the n-gram step, is built from its repository with crates; it was not compared here.
Checked  planted exact copies, near copies (Jaccard 0.82 to 0.97) and leaks against the reasons that the chain gives
Run      python benchmarks/curate.py [--quick] [--pairs N] [--keep DIR]      (quick: 4,000 pairs; DIR keeps the generated parts)
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from _pairs import generate

from skyloom.core.config import PluginConfig
from skyloom.core.execute import ExecuteConfig
from skyloom.core.ledger.annotate import Annotations
from skyloom.core.ledger.curate import Curated, curate
from skyloom.core.registry import plugin_of
from skyloom.reward.annotate import contamination, exact_duplicates, near_duplicates, scores
from skyloom.reward.decide import contamination as drop_contaminated
from skyloom.reward.decide import duplicates, top_k
from skyloom.reward.decide import near_duplicates as drop_near

DEFECTS = {
    "exact": ("duplicate",),
    "near": ("near_duplicate", "near_contradicting_labels"),
    "leak": ("contaminated_prompt", "contaminated_response"),
}
SAMPLE = 2_000


def chain(index: Path) -> list[PluginConfig]:
    """What the issue asks for, in the order of a recipe."""
    return [
        exact_duplicates.Config(),
        duplicates.Config(),
        near_duplicates.Config(),
        drop_near.Config(),
        contamination.Config(index=index),
        drop_contaminated.Config(),
        scores.Config(),
        top_k.Config(
            share=0.1,
            shares={"Math": 0.3, "Coding & debugging": 0.3},
            offsets={"magpie_air": -0.1, "magpie_pro": -0.05},
        ),
    ]


class Memory(threading.Thread):
    """Samples the resident memory of this process and its children; `peak` in GB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        """Sample ten times a second."""
        while not self.over.wait(0.1):
            self.peak = max(self.peak, self.now())

    @staticmethod
    def now() -> float:
        """Proportional set size where the kernel tells it (shared pages count once)."""
        own = multiprocessing.current_process().pid
        pids = [own, *(child.pid for child in multiprocessing.active_children())]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(stat.read_text().rpartition(")")[2].split()[1]) == own:
                    pids.append(int(stat.parent.name))
            except OSError:
                continue
        total = 0
        for pid in set(pids):
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1e6


@contextmanager
def stopwatch(seconds: dict[str, float]) -> Generator[None]:
    """Time every annotator and decider of a curation."""

    def timed(work: Callable[..., Any], kind: str, at: int) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = work(*args, **kwargs)
            name = f"{kind} {plugin_of(args[at]).name}"
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
            return result

        return wrapped

    curate_module: Any = sys.modules[curate.__module__]  # the package gives the function that name
    add, decide = Annotations.add, curate_module.run_decider
    Annotations.add, curate_module.run_decider = timed(add, "annotate", 1), timed(decide, "decide", 0)
    try:
        yield
    finally:
        Annotations.add, curate_module.run_decider = add, decide


def ours(folder: Path, out: Path, execute: ExecuteConfig) -> Curated:
    return curate([folder], chain(folder / "index.npz"), out, out / "cache", execute=execute, defects=DEFECTS)


def compare(folder: Path, scratch: Path) -> tuple[float, float, int]:
    """Seconds of ours and of the peer on one source's first pairs, and how many pairs."""
    from _scripted import (
        scripted,
    )  # late: every worker process imports this file, and would import the peer's libraries

    name = "magpie_pro-00000-00000.parquet"
    part = pl.read_parquet(folder / "rows" / name).head(SAMPLE)
    for kind, frame in (("rows", part), ("truth", pl.read_parquet(folder / "truth" / name).head(SAMPLE))):
        (scratch / kind).mkdir(parents=True)
        frame.write_parquet(scratch / kind / name)
    (scratch / "sources.json").write_bytes((folder / "sources.json").read_bytes())
    (scratch / "index.npz").write_bytes((folder / "index.npz").read_bytes())
    started = time.perf_counter()
    ours(scratch, scratch / "out", ExecuteConfig())
    middle = time.perf_counter()
    scripted(part, json.loads((folder / "items.json").read_text()))
    return middle - started, time.perf_counter() - middle, part.height


def make(folder: Path, pairs: int) -> None:
    """Generate in a process of its own, so that its memory is not ours."""
    if (folder / "sources.json").exists():
        return
    started = time.perf_counter()
    process = multiprocessing.get_context("spawn").Process(target=generate, args=(folder, pairs))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit("the generator failed")
    print(f"generated in {time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    """Print seconds a step, memory and recall; the last line is JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    pairs = asked.pairs or (4_000 if asked.quick else 378_273)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = asked.keep or scratch / "pool"
        make(folder, pairs)
        memory = Memory()
        memory.start()
        seconds: dict[str, float] = {}
        started = time.perf_counter()
        with stopwatch(seconds):
            result = ours(folder, scratch / "out", ExecuteConfig(kind="processes", workers=asked.workers))
        took = time.perf_counter() - started
        memory.over.set()
        for step, each in [
            *seconds.items(),
            ("the rest (hashing parts, writing what is kept)", took - sum(seconds.values())),
        ]:
            print(f"{each:8.1f} s  {step}")
        text_gb = sum(path.stat().st_size for path in (folder / "rows").glob("*")) / 1e9
        print(
            f"{result.rows_in:,} pairs ({text_gb:.1f} GB of Parquet) in {took:.1f} s, peak {memory.peak:.1f} GB, {result.kept:,} kept"
        )
        found = {line["defect"]: line for line in json.loads((scratch / "out" / "truth.json").read_text())}
        for defect, line in found.items():
            recall, precision = line["hits"] / max(1, line["planted"]), line["hits"] / max(1, line["found"])
            print(f"  {defect}: {line['planted']:,} planted, recall {recall:.4f}, precision {precision:.4f}")
            if recall < 0.95:
                raise SystemExit(f"recall of {defect} is {recall:.3f}")
        our_s, peer_s, count = compare(folder, scratch / "sample")
    line = {"name": "curate", "ours": our_s, "peer": peer_s, "ratio": peer_s / our_s, "repeats": 1}
    line |= {"unit": f"s for {count:,} pairs, one process; peer: datasketch + CountVectorizer"}
    print(json.dumps({**line, "pairs": result.rows_in, "seconds": took, "peak_gb": memory.peak}))


if __name__ == "__main__":
    main()
