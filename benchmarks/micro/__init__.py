"""Single functions of the hot path, timed by pytest-benchmark; see the README of `benchmarks`."""
