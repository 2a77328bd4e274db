"""What the reward server counts, and the text that Prometheus reads.

Source   Prometheus text exposition format 0.0.4; histograms are cumulative, as it wants them
Flow     the server and its batcher count; GET /metrics shows
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

SECONDS: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TOKENS: tuple[float, ...] = (64, 256, 1024, 4096, 16384, 65536)
CONTENT_TYPE: str = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Counts of values by upper bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str = "") -> list[str]:
        """Buckets, sum and count; each bucket holds all that is below its bound."""
        found: list[str] = []
        total = 0
        comma = f"{labels}," if labels else ""
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            found.append(f'{name}_bucket{{{comma}le="{bound}"}} {total}')
        braces = f"{{{labels}}}" if labels else ""
        return [*found, f"{name}_sum{braces} {self._sum!r}", f"{name}_count{braces} {total}"]


class Counts:
    """Counters of one server; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._totals: Counter[str] = Counter()
        self._batch_tokens = Histogram(TOKENS)
        self._seconds: dict[str, Histogram] = {}

    def begin(self) -> None:
        """One request has come in."""
        with self._lock:
            self._open += 1

    def request(self, path: str, status: int, seconds: float) -> None:
        """One request is answered; status 499: its client went away first."""
        with self._lock:
            self._open -= 1
            self._requests[path, status] += 1
            self._seconds.setdefault(path, Histogram(SECONDS)).add(seconds)

    def batch(self, sequences: int, tokens: int) -> None:
        """One batch is scored."""
        with self._lock:
            self._totals["batches"] += 1
            self._totals["sequences"] += sequences
            self._totals["tokens"] += tokens
            self._batch_tokens.add(tokens)

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """The whole page; `gauges` are (help, value) of what is true right now, by name."""
        with self._lock:
            requests = [
                f'skyloom_requests_total{{path="{path}",code="{status}"}} {count}'
                for (path, status), count in sorted(self._requests.items())
            ]
            totals = dict(self._totals)
            gauges = {"requests_open": ("Requests not yet answered, this one included.", self._open), **gauges}
            seconds = [
                line
                for path, histogram in sorted(self._seconds.items())
                for line in histogram.lines("skyloom_request_seconds", f'path="{path}"')
            ]
            batches = self._batch_tokens.lines("skyloom_batch_tokens")
        lines = [
            *_family("skyloom_requests_total", "counter", "Requests answered, by path and status.", requests),
            *_family("skyloom_request_seconds", "histogram", "Seconds from first byte to answer.", seconds),
            *_family("skyloom_batch_tokens", "histogram", "Tokens of a batch, padding not counted.", batches),
        ]
        for name in ("batches", "sequences", "tokens"):
            full = f"skyloom_scored_{name}_total"
            lines += _family(full, "counter", f"Scored {name}.", [f"{full} {totals.get(name, 0)}"])
        for name, (about, value) in gauges.items():
            lines += _family(f"skyloom_{name}", "gauge", about, [f"skyloom_{name} {value}"])
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, about: str, lines: list[str]) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *lines]
