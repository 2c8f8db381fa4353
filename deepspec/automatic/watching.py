"""Progress of a training, from the lines that it tells, for a caller that shows bars instead of lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Show = Callable[[str, int, int], None]

_EPOCH = re.compile(r"epoch (?P<epoch>\d+)(?:/(?P<epochs>\d+)|, step (?P<step>\d+)/(?P<steps>\d+))")


def as_progress(show: Show, step: str = "training") -> Callable[[str], None]:
    """What takes the lines of a training, and shows the epochs among them as progress.

    Args:
        show: called with `step`, the epochs or steps that are done, and all.
        step: what the progress is called.

    >>> as_progress(print)("epoch 3/20  target 0.5  0.1 s")
    training 3 20
    """

    def say(line: str) -> None:
        found = _EPOCH.match(line)
        if found is not None:
            done, total = found["step"] or found["epoch"], found["steps"] or found["epochs"]
            show(step, int(done), int(total))

    return say
