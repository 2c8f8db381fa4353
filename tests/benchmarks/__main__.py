"""`make bench`: every benchmark that needs no real data, one after the other. Quote the ratios, not the seconds."""

import os

from tests.benchmarks import segmenting, silhouette, streaming, trainer, training_step, xrf_scan

if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    for benchmark in (training_step, trainer, silhouette, segmenting, xrf_scan, streaming):
        print(f"\n{benchmark.__doc__.splitlines()[0]}")
        benchmark.main()
