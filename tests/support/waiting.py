"""Wait for what another process does."""

import time


def until(condition, seconds=200):
    """Return when the condition holds; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)
