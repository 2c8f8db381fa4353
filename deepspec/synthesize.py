"""Make synthetic datacubes with known ground truth: `deepspec synthesize KIND IMAGE... --out DIR`.

Kinds: `xrf`, MA-XRF scans; `nebulae`, spectra for training and cubes of an astronomical field; `degrade`, cubes with
noise added.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from deepspec.command import fail, run_command
from deepspec.synthetic.degrade_command import degrade_cubes
from deepspec.synthetic.nebulae_command import nebulae
from deepspec.synthetic.xrf_command import xrf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROG = "deepspec synthesize"

# Kind -> its function and what it is given without a flag.
KINDS: dict[str, tuple[Callable[..., None], str]] = {
    "xrf": (xrf, "images"),
    "nebulae": (nebulae, "images"),
    "degrade": (degrade_cubes, "cubes"),
}


def main(args: Sequence[str] | None = None) -> None:
    """Make one kind of data; the first word of the command line names it."""
    words = list(sys.argv[1:] if args is None else args)
    valid = ", ".join(KINDS)
    if words[:1] in (["-h"], ["--help"]):
        print(f"usage: {PROG} KIND FILE... --out DIR\n\nKIND: {valid}; `{PROG} KIND --help` lists its options")
        return
    if not words or words[0] not in KINDS:
        found = f"got '{words[0]}'" if words else "got nothing"
        fail(PROG, f"the first word names what to synthesize: expected {valid}, {found}")
    function, positional = KINDS[words[0]]
    run_command(function, prog=f"{PROG} {words[0]}", positional=positional, many=True, args=words[1:])


if __name__ == "__main__":
    main()
