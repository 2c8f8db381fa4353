"""`deepspec maps CUBE`: maps of elements, or of the emission lines of gas."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.command import run_command
from deepspec.data.cube_options import CubeOptions
from deepspec.files import check_result_folder, claimed_folder
from deepspec.lines.label import LineOptions

if TYPE_CHECKING:
    from collections.abc import Sequence


def maps(
    cube: str,
    elements: str | None = None,
    lines: str | None = None,
    out: str | None = None,
    mask: str | None = None,
    redshift: tuple[float, float] = (0.0, 0.0),
    width: float = 500.0,
    signed: bool = False,
    export: str = "auto",
    overwrite: bool = False,
    *,
    reading: CubeOptions,
    labelling: LineOptions,
) -> None:
    """Map the elements of an X-ray scan, or the flux, velocity and dispersion of the emission lines of a gas.

    Args:
        cube: a file of any format that read_cube knows.
        elements: of X-rays, symbols with or without the shell, as in Fe Pb-L; default those whose lines are found in
            the mean spectra of parts of the image. Elements that are found take part in the fit in any case.
        lines: of gas, names as in Hα [OIII]5007 (or Ha); default those found.
        out: folder for the results; default CUBE-maps in the current directory.
        mask: image of valid (nonzero) pixels, FILE or FILE:KEY.
        redshift: lowest and highest redshift at which emission lines are looked for.
        width: half-width of the window of an emission line, in km/s.
        signed: let the amounts of elements be negative: means of them over many pixels then have no bias.
        export: what to write beside maps.h5 and maps.png, with commas between: tiff (float32, a file for each map and
            its error), fits (with the cube's world coordinates), svg, pdf; auto: tiff, and fits of a FITS cube; none;
            all.
        overwrite: replace earlier maps in `out`.
        reading: how the file is to be taken.
        labelling: how lines are found and named.
    """
    from deepspec.lines.unmixing import parse_elements

    folder = Path(out or f"{Path(cube).stem}-maps")
    labelling.check()
    if elements is not None:
        parse_elements(elements)
    if lines is not None:
        from deepspec.line_maps.emission import parse_lines

        parse_lines(lines)
    from deepspec.reporting.exports import celestial_header
    from deepspec.reporting.line_map_files import is_maps_file, parse_map_exports, write_maps_folder
    from deepspec.reporting.segmentation_folder import check_redshift

    check_redshift(redshift)
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    check_result_folder(folder, {name for name in found if is_maps_file(name)}, "maps", overwrite=overwrite)
    exports = parse_map_exports(export, is_fits=Path(cube).suffix.lower() in (".fits", ".fit", ".fz"))
    from deepspec.line_maps import map_lines
    from deepspec.progress import progress_bars

    with reading.open(cube, mask) as opened, claimed_folder(folder):
        with progress_bars() as show:
            made = map_lines(
                opened,
                elements,
                lines=lines,
                redshift=redshift,
                width=width,
                options=labelling,
                signed=signed,
                progress=show,
            )
        header = celestial_header(Path(cube), made.shape, reading.dataset) if "fits" in exports else None
        write_maps_folder(made, folder, exports, header)
    print(f"{len(made.maps)} maps of {made.shape[0]} x {made.shape[1]} pixels: {', '.join(made.names)}")
    for note in made.notes:
        print(note)
    for path in sorted(folder.iterdir()):
        print(f"wrote {path}")


def join_words(args: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Write `--elements Pb Fe` as `--elements Pb,Fe`, up to what is a flag or the name of a file.

    >>> join_words(["cube.h5", "--elements", "Pb", "Fe-K", "--out", "x"], ["--elements"])
    ['cube.h5', '--elements', 'Pb,Fe-K', '--out', 'x']
    """
    joined: list[str] = []
    rest = list(args)
    while rest:
        joined.append(rest.pop(0))
        if joined[-1] in flags and rest and not rest[0].startswith("-"):
            words = [rest.pop(0)]
            while (
                rest and re.fullmatch(r"[^\W\d][\w\[\]-]{0,14},?|\[\w+\]\d+,?", rest[0]) and not Path(rest[0]).exists()
            ):
                words.append(rest.pop(0))
            joined.append(",".join(word.strip(",") for word in words))
    return joined


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    words = join_words(sys.argv[1:] if args is None else args, ("--elements", "--lines"))
    run_command(
        maps,
        prog="deepspec maps",
        positional="cube",
        args=words,
        groups={"reading": CubeOptions, "labelling": LineOptions},
    )


if __name__ == "__main__":
    main()
