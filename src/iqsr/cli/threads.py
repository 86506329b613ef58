"""How the threads of OpenMP, which torch computes with, wait for work."""

import os

SPIN_COUNT = "1000"
"""How often a thread of libgomp looks for work before it sleeps; 300,000 by default. It takes about as long as falling
asleep and being woken, so that waiting costs at most twice what it must, whoever else wants the core.
"""
BLOCK_TIME_MS = "1"
"""The same for Intel's and LLVM's OpenMP; 200 by default."""
_SET_BY_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def bound_waiting() -> None:
    """Let threads spin only for a moment before they sleep.

    By default they spin so long that on a busy machine they take the cores from what they wait for (the part `busy` of
    benchmarks/upscale.py). OpenMP reads it when torch is loaded, so it is set before. What the user has set stays.
    """
    if not any(name in os.environ for name in _SET_BY_USER):
        os.environ |= {"GOMP_SPINCOUNT": SPIN_COUNT, "KMP_BLOCKTIME": BLOCK_TIME_MS}
