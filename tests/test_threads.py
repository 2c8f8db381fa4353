"""Threads that wait are told to sleep, before torch is loaded: two busy processes must not slow each other tenfold."""

import os
import subprocess
import sys


def printed(code, **variables):
    """Standard output and error of Python code in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_openmp_of_torch_hears_of_it():
    policy = "import deepspec, os, torch; print(os.environ['OMP_WAIT_POLICY'])"
    out, said = printed(policy, OMP_DISPLAY_ENV="true")
    assert out.strip() == "PASSIVE"
    if sys.platform == "linux":  # libgomp tells what it read
        assert "OMP_WAIT_POLICY = 'PASSIVE'" in said


def test_a_setting_of_the_user_stays():
    code = "import deepspec, os; print(os.environ['OMP_WAIT_POLICY'])"
    assert printed(code, OMP_WAIT_POLICY="ACTIVE")[0].strip() == "ACTIVE"


def test_nothing_is_claimed_once_torch_is_loaded():
    code = "import os, sys; sys.modules['torch'] = os; import deepspec; print('OMP_WAIT_POLICY' in os.environ)"
    assert printed(code)[0].strip() == "False"
