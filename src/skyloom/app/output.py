"""Machine output of the commands."""

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from skyloom.core.metrics import Estimate, Evaluation


def print_json(value: Any) -> None:  # Any: JSON
    """JSON on stdout for scripts."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def say(lines: Iterable[str]) -> None:
    """Lines for people, as they are."""
    Console(highlight=False, markup=False, soft_wrap=True).print("\n".join(lines))


def estimate_lines(evaluation: "Evaluation") -> list[str]:
    """Headline, null baselines and further numbers, a line each, shares in percent."""
    named = [("", evaluation.headline), *(("null baseline ", each) for each in evaluation.baselines)]
    return [_told(lead, each) for lead, each in [*named, *(("  ", each) for each in evaluation.others)]]


def _told(lead: str, each: "Estimate") -> str:
    return f"{lead}{each.name}: {each.value:.1%} [{each.low:.1%}, {each.high:.1%}], n={each.n:,} ({each.method})"
