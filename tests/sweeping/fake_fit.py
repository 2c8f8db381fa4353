"""Stands in for `fit` where only the sweep is tested: writes the same files in a tenth of a second.

Configuration: `model.x`, `model.y`; `model.kind` good, fail or nan; `model.seconds` of each epoch. The loss in epoch e
is (x - 2)^2 + (y - 1)^2 + 1 / (e + 1).
"""

import csv
import math
import os
import sys
import time
from pathlib import Path

import yaml


def main():
    config = yaml.safe_load(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
    run, model = Path(config["run_dir"]), config["model"]
    run.mkdir(parents=True, exist_ok=True)
    assert not (run / "config.yaml").exists(), "an earlier run"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "environment.txt").write_text("\n".join(f"{name}={value}" for name, value in sorted(os.environ.items())))
    print("starting", flush=True)
    if model["kind"] == "fail":
        print("Traceback (most recent call last):\nRuntimeError: CUDA out of memory", file=sys.stderr)
        raise SystemExit(1)
    rows = []
    for epoch in range(config["trainer"]["max_epochs"]):
        time.sleep(model["seconds"])
        loss = (model["x"] - 2) ** 2 + (model["y"] - 1) ** 2 + 1 / (epoch + 1)
        loss = math.nan if model["kind"] == "nan" else loss
        rows.append({"epoch": epoch, "step": epoch, "val/target": loss, "val/size": model["x"]})
        part = run / "metrics.csv.part"
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        part.replace(run / "metrics.csv")
    (run / "model.ckpt").write_text("model")


if __name__ == "__main__":
    main()
