"""Speed, side by side: `python -m benchmarks` measures every row of the goal table in one run.

Machines differ and are noisy, so nothing here is judged by an absolute time. Every contender runs in a
process of its own, on one core where the system can pin it, and they take turns: a slow minute slows all of
them. A row's figure is the median of the rounds' ratios.
"""
