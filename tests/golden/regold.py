"""Write the golden files anew and show every number that moved: `python tests/golden/regold.py [NAME ...]` (make regold)."""

import argparse

import goldens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(goldens.names())}; all when left out"
    )
    chosen = parser.parse_args().names or goldens.names()
    unknown = sorted(set(chosen) - set(goldens.names()))
    if unknown:
        parser.error(f"unknown golden {unknown[0]!r}; known: {', '.join(goldens.names())}")
    for name in chosen:
        old, new = goldens.kept(name), goldens.compute(name)
        goldens.write(name, new)
        moved = ["new file"] if old is None else goldens.differences(old, new, 0.0)
        print(f"{name}: {len(moved)} changed" if moved else f"{name}: unchanged")
        print("".join(f"  {line}\n" for line in moved[:20]), end="")


if __name__ == "__main__":
    main()
