"""Run every benchmark and print one table; the last line is JSON with all results.

A benchmark is a script `python benchmarks/NAME.py [--quick]` whose last line is {"name","ours","peer","ratio","unit","repeats"}.

Run   python benchmarks/all.py [--quick]
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEYS = ("name", "ours", "peer", "ratio", "unit", "repeats")


def run(script: Path, options: list[str]) -> dict[str, object]:
    """One benchmark in a process of its own; its last line, parsed and checked."""
    done = subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = done.stderr.strip().splitlines()[-1:] or ["no output"]
        return {"name": script.stem, "error": tail[0]}
    result = json.loads(done.stdout.strip().splitlines()[-1])
    missing = [key for key in KEYS if key not in result]
    return {"name": script.stem, "error": f"its last line lacks {missing}"} if missing else result


def main() -> int:
    """Exit code 1 where a benchmark failed."""
    scripts = [path for path in sorted(HERE.glob("*.py")) if path.name != "all.py" and not path.name.startswith("_")]
    results: list[dict[str, object]] = []
    print(f"{'benchmark':28} {'ours':>12} {'peer':>12} {'ratio':>8}  unit")
    for script in scripts:
        result = run(script, sys.argv[1:])
        results.append(result)
        if "error" in result:
            print(f"{result['name']:28} failed: {result['error']}", flush=True)
            continue
        ours, peer, ratio = (
            f"{result[key]:,.4g}" if isinstance(result[key], int | float) else "-" for key in KEYS[1:4]
        )
        print(f"{result['name']:28} {ours:>12} {peer:>12} {ratio:>8}  {result['unit']}", flush=True)
    print(json.dumps(results))
    return 1 if any("error" in result for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
