"""Run the command line and die by SIGKILL at the n-th disk operation: before, in the middle of, or after a write, fsync or rename.

Run   python tests/e2e/killed.py POINT COUNTER_FILE run skywork_reward --smoke --out DIR
      POINT 0 never dies; the number of points that were passed is written to COUNTER_FILE at exit.
"""

import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

deadly = 0
passed = 0


def point() -> None:
    global passed
    passed += 1
    if passed == deadly:
        os.kill(os.getpid(), signal.SIGKILL)


def around(function):
    def wrapped(*arguments, **options):
        point()
        result = function(*arguments, **options)
        point()
        return result

    return wrapped


def torn_write(file: BinaryIO, data: bytes) -> None:
    point()
    file.write(data[: len(data) // 2])
    file.flush()
    point()
    file.write(data[len(data) // 2 :])
    point()


def main() -> None:
    global deadly
    deadly, counter = int(sys.argv[1]), Path(sys.argv[2])
    from skyloom.core import store

    store._write = torn_write
    os.fsync, os.replace = around(os.fsync), around(os.replace)
    sys.argv = ["skyloom", *sys.argv[3:]]
    from skyloom.app.cli import main as run

    try:
        run()
    finally:
        counter.write_text(str(passed))


if __name__ == "__main__":
    main()
