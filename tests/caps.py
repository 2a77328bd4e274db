"""Size caps of the house: files of 600 lines, functions of 80, at most five named exceptions; every module has a docstring.

Run   python tests/caps.py
"""

import ast
import sys
from pathlib import Path

FILE_LINES = 600
FUNCTION_LINES = 80
EXCEPTIONS: set[str] = set()
ROOT = Path(__file__).resolve().parent.parent


def problems(path: Path) -> list[str]:
    """What breaks a cap in one file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    name = path.relative_to(ROOT).as_posix()
    found = [] if ast.get_docstring(tree) else [f"{name}: no module docstring"]
    lines = text.count("\n")
    if lines > FILE_LINES:
        found.append(f"{name}: {lines} lines, cap {FILE_LINES}")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES:
                found.append(f"{name}:{node.lineno} {node.name}: {length} lines, cap {FUNCTION_LINES}")
    return [each for each in found if each.partition(":")[0] not in EXCEPTIONS]


def main() -> int:
    """Print every problem; the exit code says whether there was one."""
    if len(EXCEPTIONS) > 5:
        sys.stderr.write("more than five exceptions\n")
        return 1
    found = [each for path in sorted((ROOT / "src").rglob("*.py")) for each in problems(path)]
    sys.stderr.write("".join(f"{each}\n" for each in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
