"""`python -m deepspec.sweeping.resolve`: what `fit` makes of configurations, without running them.

A process of its own, because the parser needs Lightning, and a worker that only starts other processes should not.
Standard input is a JSON list of configurations; standard output a JSON list with `{"config": ...}` or `{"error": ...}`
for each.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from deepspec.errors import UserError
from deepspec.training.run import run_fit


def resolve(config: dict[str, Any], file: Path) -> dict[str, Any]:
    """The configuration with every default filled in, as `--print_config` shows it, or its error."""
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    printed, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
        try:
            run_fit(["--config", str(file), "--print_config"])
        except UserError as error:
            return {"error": str(error)}
        except SystemExit as end:
            if end.code == 0:
                return {"config": yaml.safe_load(printed.getvalue())}
    return {"error": complained.getvalue().strip()}


def main() -> None:
    """Resolve what standard input has."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "experiment.yaml"
        found = [resolve(config, file) for config in json.load(sys.stdin)]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
