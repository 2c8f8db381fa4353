"""`make bench`: every benchmark that needs no real data, one after the other. Quote the ratios, not the seconds.

`python -m tests.benchmarks NAME...` runs some of them.
"""

import os
import sys

from tests.benchmarks import (
    busy,
    embeddings,
    segmenting,
    silhouette,
    streaming,
    throughput,
    trainer,
    training_step,
    xrf_scan,
)

ALL = {
    module.__name__.rpartition(".")[2]: module
    for module in (training_step, busy, trainer, throughput, silhouette, segmenting, xrf_scan, streaming, embeddings)
}

if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(ALL)
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}: expected some of {', '.join(ALL)}")
    print(f"{os.cpu_count()} cores, load {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    for benchmark in [ALL[name] for name in sys.argv[1:]] or ALL.values():
        print(f"\n{benchmark.__doc__.splitlines()[0]}")
        benchmark.main()
