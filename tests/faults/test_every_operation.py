"""The machine dies, or the disk is full, before an operation on a file: nothing finished is lost, nothing half-made is
taken for whole, and the same command goes on to the same result.

A sample of the operations; `make faults` takes all of them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.cases import CASES

ROOT = Path(__file__).parents[2]
ALL = os.environ.get("DEEPSPEC_FAULTS") == "all"
SAMPLE = {
    "ingest": ("35", "97"),
    "ingest-overwrite": ("93", "97"),
    "segment": ("45",),
    "segment-overwrite": ("60", "98"),
    "fit": ("30", "71"),
    "fit-overwrite": ("8", "98"),
    "sweep": ("25", "77"),
}


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The shim, compiled."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the faults are injected by a library that takes Linux and a C compiler")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = str(Path(__file__).with_name("shim.c"))
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
    return library


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_fault_before_an_operation(case, shim, tmp_path):
    counter = tmp_path / "counter"
    counter.write_bytes(bytes(8))
    environment = {
        **os.environ,
        "LD_PRELOAD": str(shim),
        "FAULT_COUNTER": str(counter),
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(ROOT),
    }
    points = ("all",) if ALL else SAMPLE[case]
    command = [sys.executable, "-m", "tests.faults.attack", case, str(tmp_path / "attacks"), "kill,full", *points]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, *attacks = map(json.loads, done.stdout.splitlines())
    assert first["operations"] > 50
    assert len(attacks) == 2 * (first["operations"] if ALL else len(points))
    for attack in attacks:
        assert not attack["wrong"], attack
        if attack["kind"] == "kill":
            assert attack["status"] == -9, attack
            continue
        # A disk may be full and nothing more to be written; a trial of a sweep may fail of it and the others go on.
        if attack["status"] != 0 and case != "sweep":
            errors = [line for line in attack["said"].splitlines() if ": error: " in line]
            assert (attack["status"], len(errors)) == (1, 1), attack
            assert "Traceback" not in attack["said"], attack
            assert "No space left on device; make room" in errors[0], attack
            assert not attack["strays"], attack
