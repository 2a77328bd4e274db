"""Integer geometry, against exact arithmetic."""

import os
import subprocess
import sys

# Inner kernels have no Python wrapper when jitted; un-jitted they are plain functions.
CHECK = """
import math
from skyloom.arena.engine import geometry, move
for n in [*range(2000), 2**31, 2**31 - 1, 2**36 + 12345, 10**11]:
    assert geometry.isqrt(n) == math.isqrt(n), n
assert [geometry.part(a, 3, 7) for a in (10, -10)] == [4, -4]
assert geometry.signed(0xFFFFFFFF) == -1 and geometry.signed(0x80000000) == -2**31 and geometry.signed(5) == 5
assert geometry.edge_x(int(12.5 * 4096), 5) == 10 and geometry.edge_x(13 * 4096, 2) == 12
for k in range(256):
    dx, dy = (round(10000 * f(2 * math.pi * k / 256)) for f in (math.cos, math.sin))
    assert min((move.facing(dx, dy) - k) % 256, (k - move.facing(dx, dy)) % 256) <= 4, k
"""


def test_geometry_is_exact():
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", CHECK], check=True, env=env, timeout=60)
