"""Pairs of measurements in turn, so that a machine whose speed drifts distorts both alike."""

import statistics
import time


def paired(first, second, rounds, repeats=1):
    """Median seconds per call of two functions, and the median over rounds of the ratio first / second."""
    times = []
    for _ in range(2):  # warm-up
        first()
        second()
    for _ in range(rounds):
        row = []
        for function in (first, second):
            start = time.perf_counter()
            for _ in range(repeats):
                function()
            row.append((time.perf_counter() - start) / repeats)
        times.append(row)
    firsts, seconds = zip(*times, strict=True)
    ratio = statistics.median(a / b for a, b in times)
    return statistics.median(firsts), statistics.median(seconds), ratio
