"""The main job from end to end, on two photographs that scikit-learn ships. `make demo` runs it.

Synthesizes an MA-XRF scan of each as if it were a painting, maps china.jpg, which trains a network on it alone, and
segments flower.jpg, which that network has never seen. Every step is a command that can be typed; they are printed as
they run.
"""

import argparse
import shlex
import time
from pathlib import Path

from deepspec.map import main as map_scans
from deepspec.segment import main as segment
from deepspec.synthesize import main as synthesize


def step(verb, main, *args):
    """Print a command, then run it in this process, which saves importing torch again."""
    words = [str(arg) for arg in args]
    print(f"\n$ python -m deepspec.{verb} {shlex.join(words)}", flush=True)
    main(words)


def demo(out):
    """Run the three verbs; everything is written below `out`."""
    started = time.perf_counter()
    step("synthesize", synthesize, "xrf", "sklearn:china", "sklearn:flower", "--out", out / "scans",
         "--size", 200, "--palette", 6, "--weighting", "softmin", "--k_range", 5, 8,
         "--colour_space", "lab")  # fmt: skip
    step("map", map_scans, out / "scans" / "china.h5", "--out", out / "china", "--overwrite")
    step("segment", segment, out / "scans" / "flower.h5", "--checkpoint", out / "china" / "run",
         "--clusters", "refit", "--out", out / "flower", "--overwrite")  # fmt: skip
    print(f"\ndone in {time.perf_counter() - started:.0f} s; the pictures are in {out / 'flower'}:")
    for picture in sorted((out / "flower").glob("*.png")):
        print(f"  {picture}")
    print(f"and the painting with its true materials is {out / 'scans' / 'flower.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for everything that is written")
    demo(parser.parse_args().out)
