"""Files of one spectrum as multichannel analysers write them: .mca (Amptek, and SPEC's, which PyMca writes), .spe.

Each is text: Amptek's between <<DATA>> and <<END>>, SPEC's behind @A, IAEA's and ORTEC's .spe behind $DATA.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepspec.data.readers.stored import AxisCandidate, Stored, check_dims, reading
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class Spectrum(NamedTuple):
    """Counts of the channels, (C,) uint32 or float64, their positions if the file gives them, and its other fields."""

    counts: NDArray[np.uint32] | NDArray[np.float64]
    axis: AxisCandidate | None
    metadata: dict[str, str | int | float]


def open_mca(path: Path, dims: Sequence[int]) -> Stored:
    """Read a file of PyMca's or SPEC's, or of Amptek's; see `open_spectrum`."""
    return open_spectrum(path, "MCA", dims)


def open_spe(path: Path, dims: Sequence[int]) -> Stored:
    """Read a file of Ortec's or the IAEA's; see `open_spectrum`."""
    return open_spectrum(path, "SPE", dims)


def open_spectrum(path: Path, kind: str, dims: Sequence[int]) -> Stored:
    """Read a file with one spectrum as a cube (1, 1, C).

    Args:
        path: the file.
        kind: "MCA" or "SPE".
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: if the file is damaged or cut short.
    """
    found = read_spectrum(path, kind)
    array = found.counts[None, None]
    check_dims(path, path.name, array.shape, dims)
    return Stored(
        arrays=[array],
        name=str(path),
        spectral_dim=2,
        axes=[] if found.axis is None else [found.axis],
        metadata=found.metadata,
    )


def read_spectrum(path: Path, kind: str) -> Spectrum:
    """Read a file with one spectrum; kinds and errors as for `open_spectrum`."""
    with reading(path, kind):
        text = path.read_text(encoding="latin-1")
        if kind == "SPE":
            return _spe(path, text)
        return _amptek(path, text) if "<<DATA>>" in text else _spec(path, text)


def _amptek(path: Path, text: str) -> Spectrum:
    body = re.search(r"<<DATA>>\s*\n(.*?)<<END>>", text, re.DOTALL)
    if body is None:
        raise UserError(f"{path}: cut short: no <<END>> behind the counts")
    counts = _numbers(path, body[1])
    fields = dict(re.findall(r"^([A-Z_ ]+?) - (.*?)\s*$", text[: body.start()], re.MULTILINE))
    table = re.search(r"<<CALIBRATION>>\s*\n(.*?)(?=<<)", text, re.DOTALL)
    axis = None
    if table is not None:
        unit = re.search(r"LABEL - (.*?)\s*$", table[1], re.MULTILINE)
        pairs = np.array(
            [[float(n) for n in p] for p in re.findall(r"^([-\d.eE+]+)[ \t]+([-\d.eE+]+)\s*$", table[1], re.MULTILINE)]
        )
        if len(pairs) > 1 and np.unique(pairs[:, 0]).size > 1:
            step, first = np.polyfit(pairs[:, 0], pairs[:, 1], 1)
            axis = _line(first, step, 0.0, counts.size, None if unit is None else unit[1])
    return Spectrum(
        _as_counts(counts),
        axis,
        {k.lower(): v for k, v in fields.items() if k in ("LIVE_TIME", "REAL_TIME", "START_TIME")},
    )


def _spec(path: Path, text: str) -> Spectrum:
    body = re.search(r"^@A\d*[ \t]((?:[^\n]*\\[ \t\r]*\n)*[^\n]*)$", text, re.MULTILINE)
    if body is None:
        raise UserError(f"{path}: no counts in it: expected <<DATA>> or a line that starts with @A")
    counts = _numbers(path, body[1].replace("\\", " "))
    channels = re.search(r"^#@CHANN\s+(\d+)", text, re.MULTILINE)
    if channels is not None and counts.size < int(channels[1]):
        raise UserError(f"{path}: cut short: {counts.size} of {channels[1]} channels")
    calibration = re.search(r"^#@CALIB\s+(\S+)\s+(\S+)\s+(\S+)", text, re.MULTILINE)
    axis = None
    if calibration is not None:
        a, b, c = (float(calibration[i]) for i in (1, 2, 3))
        axis = _line(a, b, c, counts.size, "keV") if b else None
    return Spectrum(_as_counts(counts), axis, {})


def _spe(path: Path, text: str) -> Spectrum:
    blocks = dict(re.findall(r"^\$([A-Z_0-9]+):\s*\n(.*?)(?=^\$|\Z)", text, re.DOTALL | re.MULTILINE))
    if "DATA" not in blocks:
        raise UserError(f"{path}: no $DATA in it")
    borders, _, rest = blocks["DATA"].strip().partition("\n")
    first, last = (int(n) for n in borders.split()[:2])
    counts = _numbers(path, rest)
    if counts.size != last - first + 1:
        raise UserError(f"{path}: cut short or damaged: {counts.size} of {last - first + 1} channels")
    axis = None
    if "MCA_CAL" in blocks and len(lines := blocks["MCA_CAL"].split("\n")) > 1:
        parts = lines[1].split()
        numbers = [float(p) for p in parts if re.fullmatch(r"[-+\d.eE]+", p)]
        unit = next((p for p in parts if not re.fullmatch(r"[-+\d.eE]+", p)), "keV")
        if len(numbers) > 1 and numbers[1]:
            axis = _line(numbers[0], numbers[1], [*numbers, 0.0][2], counts.size, unit, first)
    elif "ENER_FIT" in blocks:
        numbers = [float(p) for p in blocks["ENER_FIT"].split()[:2]]
        if len(numbers) == 2 and numbers[1]:
            axis = _line(numbers[0], numbers[1], 0.0, counts.size, "keV", first)
    metadata: dict[str, str | int | float] = {}
    if times := blocks.get("MEAS_TIM", "").split():
        metadata["live_time"] = float(times[0])
    return Spectrum(_as_counts(counts), axis, metadata)


def _line(a: float, b: float, c: float, channels: int, unit: str | None, first: int = 0) -> AxisCandidate:
    i = first + np.arange(channels, dtype=np.float64)
    return AxisCandidate("energy", a + b * i + c * i**2, unit, "stated")


def _numbers(path: Path, text: str) -> NDArray[np.float64]:
    try:
        numbers = np.array([float(part) for part in text.replace(",", " ").split()])
    except ValueError as error:
        raise UserError(f"{path}: the spectrum is no list of numbers: {error}") from None
    if not numbers.size:
        raise UserError(f"{path}: cut short: there are no counts")
    return numbers


def _as_counts(numbers: NDArray[np.float64]) -> NDArray[np.uint32] | NDArray[np.float64]:
    whole = np.isfinite(numbers).all() and (numbers >= 0).all() and (numbers < 2**32).all()
    return numbers.astype(np.uint32) if whole and (numbers == np.floor(numbers)).all() else numbers


SPECTRUM_SUFFIXES: dict[str, str] = {".mca": "MCA", ".spe": "SPE", ".msa": "EMSA", ".emsa": "EMSA"}
