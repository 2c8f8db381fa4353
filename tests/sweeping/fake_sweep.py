"""`python -m deepspec.sweep` with `fake_fit.py` for `fit`, and configurations taken as they are."""

import os
import sys
from pathlib import Path

from deepspec import sweep
from deepspec.sweeping import experiment, storage, trial

FIT = (sys.executable, str(Path(__file__).with_name("fake_fit.py")))


def main():
    experiment.FIT = trial.FIT = FIT
    experiment._resolve = lambda configs: [{"config": config} for config in configs]
    if "FAKE_GRACE" in os.environ:
        storage.HEARTBEAT, storage.GRACE = 1, int(os.environ["FAKE_GRACE"])
    sweep.main()


if __name__ == "__main__":
    main()
