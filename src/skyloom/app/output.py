"""Machine output of the commands."""

import json
import sys
from typing import Any


def print_json(value: Any) -> None:  # Any: JSON
    """JSON on stdout for scripts."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
