"""The worker process of the grader: reads pairs as JSON lines, answers each; it may be killed at any time and nothing is lost.

Formula  the rules of equivalence.py with SymPy as leaf. A pair that outlives its time is ended by the kernel's alarm even where the
         parent is gone; memory is capped for the whole process before SymPy is loaded
Flow     started by mathqa.verify.workers as a command of its own, so it needs no importable __main__ and no main thread
Run      python -m skyloom.mathqa.verify.worker SECONDS BYTES
"""

import json
import os
import resource
import signal
import sys


def main() -> None:
    """Say "ready", then answer line by line until the input ends."""
    seconds, memory_bytes = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not pass for an answer
    sys.setrecursionlimit(3_000)

    from skyloom.mathqa.verify.equivalence import compare
    from skyloom.mathqa.verify.symbolic import same

    def say(value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    same("x+1", "2")  # the parser loads its grammar with its first text
    say("ready")
    for line in sys.stdin:
        gold, answer = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)  # no handler: the default action ends the process
        try:
            equal, by = compare(gold, answer, same)
        except MemoryError:
            equal, by = None, "memory"
        except Exception:  # noqa: BLE001 - whatever SymPy raises on odd input, it could not decide
            equal, by = None, "unreadable"
        signal.setitimer(signal.ITIMER_REAL, 0)
        say([equal, by])


if __name__ == "__main__":
    main()
