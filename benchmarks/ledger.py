"""Decide over 40 million rows: duplicates, top-k per category with source offsets, a quota and its reasons, from Parquet to Parquet.

The bar is 45 s and 6 GB on two cores. The peer is the same chain in polars window functions (`over`), the way one would write it first,
on a tenth of the rows in the same run: the ratio is its time over ours there. `why` is asked at the end.

Run   python benchmarks/ledger.py [--quick]      (quick: 4 million rows)
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from skyloom.core.ledger.curate import Curated, redecide
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.ledger.query import one_row, position
from skyloom.reward.decide import duplicates, quota, top_k

CATEGORIES = (
    "math",
    "coding",
    "seeking",
    "advice",
    "reasoning",
    "planning",
    "storming",
    "creative",
    "analysis",
    "editing",
    "playing",
)
ORIGINS = ("ultra", "pro31", "pro", "air", "helpsteer", "offsetbias", "wildguard")
SHARES, OFFSETS = {"math": 0.3, "coding": 0.3}, {"air": -0.1, "pro": -0.05}
MOST = 300_000


def make_columns(folder: Path, rows: int) -> None:
    """Columns as a curation leaves them: keys, exact-duplicate clusters (a quarter are copies), categories and scores."""
    rng = np.random.default_rng(0)
    folder.mkdir()

    def words(names: tuple[str, ...], code_N: np.ndarray) -> pl.Series:
        return pl.Series(list(names), dtype=pl.Categorical).gather(pl.Series(code_N, dtype=pl.UInt32))

    origin_N = np.sort(rng.integers(0, len(ORIGINS), rows, dtype=np.uint32))
    row_N = np.arange(rows, dtype=np.int64)
    keys = {"row": row_N, "source": words(ORIGINS, origin_N), "licence": words(("MIT",), np.zeros(rows, np.uint32))}
    pl.DataFrame(keys).write_parquet(folder / "00-keys.parquet")
    cluster_N = np.where(rng.random(rows) < 0.25, rng.integers(0, rows, rows), row_N)
    contradicts = pl.Series(rng.random(rows) < 0.001)
    pl.DataFrame({"duplicates.cluster": cluster_N, "duplicates.contradicts": contradicts}).write_parquet(
        folder / "01-duplicates.parquet"
    )
    category = words(CATEGORIES, rng.integers(0, len(CATEGORIES), rows, dtype=np.uint32))
    scores = {"scores.category": category, "scores.origin": keys["source"], "scores.mean": rng.normal(0.15, 0.05, rows)}
    pl.DataFrame(scores).write_parquet(folder / "02-scores.parquet")


def ours(columns: Path, out: Path) -> Curated:
    """The product: three deciders, every verdict and reason stored."""
    chain: tuple[DeciderConfig, ...] = (
        duplicates.Config(),
        top_k.Config(share=0.1, shares=SHARES, offsets=OFFSETS),
        quota.Config(most=MOST),
    )
    return redecide(columns, chain, out)


def naive(columns: Path, out: Path) -> int:
    """The same decisions in window functions over one frame; returns the rows kept."""
    frame = pl.concat([pl.read_parquet(path) for path in sorted(columns.glob("*.parquet"))], how="horizontal")
    first = pl.col("row") == pl.col("row").min().over("duplicates.cluster")
    frame = frame.with_columns(
        alive=first & ~pl.col("duplicates.contradicts"), reason1=pl.when(~first).then(pl.lit("duplicate"))
    )
    score = pl.col("scores.mean") + pl.col("scores.origin").cast(pl.String).replace_strict(OFFSETS, default=0.0)
    share = pl.col("scores.category").cast(pl.String).replace_strict(SHARES, default=0.1)
    frame = frame.with_columns(adjusted=pl.when("alive").then(score), share=share)
    rank = pl.col("adjusted").rank("ordinal", descending=True).over("scores.category")
    top = rank <= (pl.col("alive").sum().over("scores.category") * pl.col("share") - 1e-9).ceil()
    frame = frame.with_columns(
        reason2=pl.when(pl.col("alive") & ~top).then(pl.lit("below_top_k")), alive=pl.col("alive") & top
    )
    place = pl.when("alive").then("scores.mean").rank("ordinal", descending=True).over("scores.category")
    frame = frame.with_columns(reason3=pl.when(pl.col("alive") & (place > MOST)).then(pl.lit("over_quota")))
    frame = frame.with_columns(alive=pl.col("alive") & (place <= MOST))
    out.mkdir(exist_ok=True)
    frame.select("row", "alive", "reason1", "reason2", "reason3").write_parquet(out / "decisions.parquet")
    return int(frame["alive"].sum())


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall-clock of a few runs."""
    times: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def why_ms(columns: Path, out: Path, rows: int) -> float:
    """Median time to find a row and read all its facts and verdicts."""

    def ask() -> None:
        at = position(columns / "00-keys.parquet", int(rng.integers(rows)))
        files = [*columns.glob("*.parquet"), *(out / "verdicts").glob("*.parquet"), out / "decisions.parquet"]
        if at is not None:
            [one_row(file, at) for file in files]

    rng = np.random.default_rng(1)
    return 1000 * seconds(ask, 20)


def main() -> None:
    """Print the numbers; the last line is JSON."""
    rows = 4_000_000 if "--quick" in sys.argv else 40_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_columns(folder / "large", rows)
        generating = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        started = time.perf_counter()
        result = ours(folder / "large", folder / "out")
        took = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        asked = why_ms(folder / "large", folder / "out", rows)
        memory = f"peak {peak:.1f} GB (the generator before it {generating:.1f} GB)"
        print(f"{rows:,} rows: {took:.1f} s, {memory}, {result.kept:,} kept; why {asked:.0f} ms")
        small, repeats = rows // 10, 3
        make_columns(folder / "small", small)
        kept = ours(folder / "small", folder / "out1").kept
        alike = naive(folder / "small", folder / "out2")
        if abs(kept - alike) > 0.001 * kept:  # contradictions of dropped copies are counted a little differently
            raise SystemExit(f"the two ways disagree: {kept} and {alike} rows kept")
        our_s = seconds(lambda: ours(folder / "small", folder / "out1"), repeats)
        peer_s = seconds(lambda: naive(folder / "small", folder / "out2"), repeats)
    line = {"name": "ledger", "ours": our_s, "peer": peer_s, "ratio": peer_s / our_s, "repeats": repeats}
    line |= {"unit": f"s a chain of 3 deciders, {small:,} rows; peer: polars window functions, without evidence"}
    print(json.dumps({**line, "rows": rows, "seconds": took, "peak_gb": peak, "why_ms": asked}))


if __name__ == "__main__":
    main()
