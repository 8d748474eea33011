"""Benchmarks: `python -m benchmarks` measures every row of the goal table in one run.

Machines differ and are noisy, so results are ratios rather than absolute times. Every contender runs in its
own process, pinned to one core if the system supports it. They take turns, so that a slow minute affects all
of them. A row's figure is the median of the ratios of all rounds.
"""
