"""Files for other programs: maps as TIFF and FITS, masks; spectra, peaks and borders as CSV; spectra as EMSA/MAS.

Shapes: H rows, W columns, C channels, K clusters.
"""

from __future__ import annotations

import gzip
import re
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.files import complete_or_absent, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from astropy.io.fits import Header
    from numpy.typing import NDArray

    from deepspec.lines.candidate import LabelledPeak
    from deepspec.reporting.report_data import Border
    from deepspec.segmentation import Segmentation


def save_tiff(segmentation: Segmentation, path: Path) -> None:
    """Label map as TIFF of 16 bits without sign: 0 has no label, n + 1 is cluster n, as the description in it says."""
    from PIL import Image, TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    named = f": {', '.join(segmentation.cluster_labels)}" if segmentation.names else ""
    text = f"deepspec label map: 0 = no label, n + 1 = cluster n, {segmentation.k} clusters{named}"
    tags[270] = text.encode("ascii", "replace").decode()
    image = Image.fromarray((segmentation.labels.astype(np.int32) + 1).astype(np.uint16))
    # Deflate, which tifffile and scikit-image read by themselves; LZW needs another package there.
    _write(path, lambda part: image.save(part, format="TIFF", compression="tiff_adobe_deflate", tiffinfo=tags))


def save_disagreement(segmentation: Segmentation, path: Path) -> None:
    """Disagreement of an ensemble as TIFF of 32-bit floats: 0 to 1, NaN where there is no label.

    Raises:
        ValueError: the segmentation is not that of an ensemble.
    """
    from PIL import Image, TiffImagePlugin

    if segmentation.disagreement is None:
        raise ValueError("expected a segmentation with the disagreement of an ensemble")
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = "deepspec: share of the ensemble's networks that put the pixel elsewhere, NaN = no label"
    image = Image.fromarray(segmentation.disagreement.astype(np.float32))
    _write(path, lambda part: image.save(part, format="TIFF", compression="tiff_lzw", tiffinfo=tags))


def save_memberships_tiff(segmentation: Segmentation, path: Path) -> None:
    """Probability of each cluster as TIFF, a page of float32 (H, W) for each, 0 where there is no spectrum.

    Raises:
        ValueError: the segmentation kept no memberships.
    """
    from PIL import Image, TiffImagePlugin

    pages = []
    for cluster, page in enumerate(_memberships_KHW(segmentation)):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        label = segmentation.cluster_labels[cluster].encode("ascii", "replace").decode()
        tags[270] = f"deepspec probability of cluster {label} of {segmentation.k}"
        pages.append(Image.fromarray(page, mode="F"))
        pages[-1].encoderinfo = {"tiffinfo": tags, "compression": "tiff_adobe_deflate"}
    first, *more = pages
    _write(path, lambda part: first.save(part, format="TIFF", save_all=True, append_images=more, **first.encoderinfo))


def save_memberships_fits(segmentation: Segmentation, path: Path, header: Header | None = None) -> None:
    """Probability of each cluster as FITS cube of float32 (K, H, W), 0 where there is no spectrum.

    Args:
        segmentation: to write.
        path: name of the file.
        header: world coordinates of the image, see `celestial_header`; the third axis is the cluster's number.

    Raises:
        ValueError: the segmentation kept no memberships.
    """
    from astropy.io import fits

    cube = fits.PrimaryHDU(_memberships_KHW(segmentation), header)
    cube.header["WCSAXES"] = 3
    cube.header["CTYPE3"] = ("CLUSTER", "number of the cluster, from 0")
    cube.header["CRPIX3"], cube.header["CRVAL3"], cube.header["CDELT3"] = 1.0, 0.0, 1.0
    cube.header["BTYPE"] = "probability"
    cube.header["ORIGIN"] = (f"deepspec {segmentation.provenance.deepspec}", "software that segmented the cube")
    cube.header["CUBESHA"] = segmentation.provenance.cube_sha256
    _write(path, lambda part: fits.HDUList([cube]).writeto(part, overwrite=True))


def _memberships_KHW(segmentation: Segmentation) -> NDArray[np.float32]:
    if segmentation.memberships is None:
        raise ValueError("expected a segmentation with memberships, got one without")
    return np.ascontiguousarray(np.moveaxis(segmentation.memberships, -1, 0), dtype=np.float32)


def save_masks(segmentation: Segmentation, folder: Path) -> list[Path]:
    """A black and white PNG of the cube's size for each cluster, white where it is, in an existing folder."""
    from PIL import Image

    paths = []
    for cluster in range(segmentation.k):
        mask = Image.fromarray(np.where(segmentation.labels == cluster, 255, 0).astype(np.uint8))
        paths.append(folder / f"cluster-{cluster}.png")
        _write(paths[-1], lambda part, mask=mask: mask.save(part, format="PNG"))  # type: ignore[misc]
    return paths


def save_fits(segmentation: Segmentation, path: Path, header: Header | None = None) -> None:
    """Label map as FITS image of 16 bits, -1 where there is no label, with a table of the clusters.

    Args:
        segmentation: to write.
        path: name of the file.
        header: world coordinates of the image, see `celestial_header`.
    """
    from astropy.io import fits

    labels = fits.PrimaryHDU(segmentation.labels.astype(np.int16), header)
    provenance = segmentation.provenance
    labels.header["ORIGIN"] = (f"deepspec {provenance.deepspec}", "software that segmented the cube")
    labels.header["NCLUST"] = (segmentation.k, "clusters; -1 is no label")
    labels.header["CUBESHA"] = provenance.cube_sha256  # leaves no room for a comment
    clusters = fits.BinTableHDU.from_columns(
        [
            fits.Column("CLUSTER", "J", array=np.arange(segmentation.k)),
            fits.Column("PIXELS", "K", array=segmentation.sizes),
            fits.Column("SHARE", "D", array=segmentation.shares),
            *_names_column(segmentation),
        ],
        name="CLUSTERS",
    )
    # Rows from the bottom up, as FITS has them, is how the cube was read too: nothing is turned over.
    _write(path, lambda part: fits.HDUList([labels, clusters]).writeto(part, overwrite=True))


def _names_column(segmentation: Segmentation) -> list[Any]:
    """What clusters were called by hand, which FITS has in ASCII."""
    from astropy.io import fits

    if segmentation.names is None:
        return []
    names = [name.encode("ascii", "replace").decode() for name in segmentation.names]
    return [fits.Column("NAME", f"{max(1, *map(len, names))}A", array=np.array(names))]


def celestial_header(path: Path, shape: tuple[int, int], extension: str | None = None) -> Header | None:
    """World coordinates of the images of a FITS cube; None if the file is none or has none.

    Args:
        path: a file of any kind.
        shape: rows and columns of the image; an extension of another size is passed over.
        extension: name, NAME,EXTVER or number of the cube's extension; default the first that fits.
    """
    if path.is_dir():
        return None
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as packed:
                head = packed.read(9)
        except (OSError, EOFError, zlib.error):
            return None
    if head != b"SIMPLE  =":
        return None
    import warnings

    from astropy.io import fits
    from astropy.io.fits import VerifyError
    from astropy.wcs import WCS, FITSFixedWarning

    with fits.open(path) as units, warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # old but understood spellings
        for number, unit in enumerate(units):
            names = (unit.name, f"{unit.name},{unit.ver}", str(number))
            wanted = extension is None or extension.upper() in names
            if not (
                wanted and unit.is_image and len(getattr(unit, "shape", ())) >= 3 and tuple(unit.shape[-2:]) == shape
            ):
                continue
            try:
                coordinates = WCS(unit.header, units).celestial
            except (
                ValueError,
                KeyError,
                AttributeError,
                TypeError,
                MemoryError,
                VerifyError,
            ):  # what wcslib makes of a spectral axis of its own
                coordinates = WCS(_first_two_axes(unit.header)).celestial
            if coordinates.naxis == 2:
                return coordinates.to_header()
    return None


def _first_two_axes(header: Header) -> Header:
    """A header without what it says of the third axis and further ones."""
    from astropy.io.fits import Header

    flat = Header(header, copy=True)
    for key in list(flat):
        if re.fullmatch(
            r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|NAXIS)[3-9]|(CD|PC)(\d_[3-9]|[3-9]_\d)|P[SV][3-9]_\d+", key
        ):
            del flat[key]
    flat["NAXIS"] = flat["WCSAXES"] = 2
    return flat


def save_spectra(segmentation: Segmentation, folder: Path) -> list[Path]:
    """Mean spectra of the clusters as CSV, a column each: as measured, and what the model makes of them.

    Args:
        segmentation: to write.
        folder: an existing one.

    Returns:
        `spectra.csv` on the axis of the cube and `spectra-decoded.csv` on the decoder's.
    """
    names = segmentation.cluster_labels
    clusters = range(segmentation.k)
    measured = {f"measured {names[c]}": segmentation.mean_raw[c] for c in clusters}
    decoded: dict[str, NDArray[np.float64]] = {}
    for name, spectra in (
        ("input", segmentation.mean_input),
        ("decoded", segmentation.mean_reconstructed),
        ("decoded mean latent", segmentation.decoded_centre),
    ):
        decoded |= {f"{name} {names[c]}": spectra[c] for c in clusters}
    written = []
    for name, axis, columns in (
        ("spectra.csv", segmentation.axis, measured),
        ("spectra-decoded.csv", segmentation.decoded_axis, decoded),
    ):
        rows = zip(axis.values, *columns.values(), strict=True)
        written.append(folder / name)
        write_csv(
            written[-1], [axis.label, *columns], ([f"{value:.8g}" for value in row] for row in rows), line_end="\n"
        )
    return written


def save_statistics(segmentation: Segmentation, path: Path) -> None:
    """What the measured spectra of each cluster scatter by, as CSV with a column for each number of each cluster.

    Args:
        segmentation: to write.
        path: of the file. Empty cells are not known.

    Raises:
        ValueError: the segmentation has no statistics.
    """
    statistics = segmentation.statistics
    if statistics is None:
        raise ValueError("expected a segmentation with statistics of its clusters, got one without")
    unit = f" ({statistics.unit})" if statistics.unit else ""
    columns: dict[str, NDArray[np.float64]] = {}
    for cluster in range(segmentation.k):
        for word, values, own in (
            ("mean", segmentation.mean_raw, unit),
            ("standard error", statistics.standard_error, unit),
            ("5 %", statistics.low, unit),
            ("median", statistics.median, unit),
            ("95 %", statistics.high, unit),
            ("maximum", statistics.maximum, unit),
            ("difference to the rest", statistics.difference, unit),
            ("significance of the difference", statistics.significance, ""),
        ):
            columns[f"{word} {segmentation.cluster_labels[cluster]}{own}"] = values[cluster]
    rows = zip(segmentation.axis.values, *columns.values(), strict=True)
    cells = (["" if np.isnan(value) else f"{value:.8g}" for value in row] for row in rows)
    write_csv(path, [segmentation.axis.label, *columns], cells, line_end="\n")


def save_peaks(labels: Sequence[Sequence[LabelledPeak]], path: Path) -> None:
    """Peaks of the clusters with all their candidates as CSV, a row for each candidate (or peak without any)."""
    rows: list[list[Any]] = []
    for cluster, peaks in enumerate(labels):
        for found in peaks:
            start = [
                cluster,
                f"{found.peak.position:.6g}",
                f"{found.peak.height:.5g}",
                f"{found.peak.significance:.4g}",
            ]
            rows += [
                [
                    *start,
                    rank,
                    c.label,
                    c.kind,
                    f"{c.position:.6g}",
                    f"{c.score:.3f}",
                    f"{c.family:.3f}",
                    f"{found.explained:.3f}",
                    f"{c.redshift:.5f}",
                ]
                for rank, c in enumerate(found.candidates, 1)
            ] or [[*start, "", "", "", "", "", "", f"{found.explained:.3f}", ""]]
    head = [
        "cluster",
        "position",
        "height",
        "significance",
        "rank",
        "candidate",
        "kind",
        "expected at",
        "score",
        "family",
        "explained",
        "redshift",
    ]
    write_csv(path, head, rows, line_end="\n")


def save_borders(borders: Sequence[Border], path: Path) -> None:
    """Borders as CSV, a row for each pair of clusters, the most graded first."""
    rows = [
        [
            border.first,
            border.second,
            f"{border.r:.6g}",
            border.kind,
            "" if border.scatter is None else f"{border.scatter:.4g}",
        ]
        for border in borders
    ]
    write_csv(path, ["cluster", "other", "r", "border", "scatter"], rows, line_end="\n")


def save_msa(segmentation: Segmentation, folder: Path) -> list[Path]:
    """Mean measured spectrum of each cluster with pixels as EMSA/MAS file (ISO 22029), in an existing folder.

    An axis that is not evenly spaced is written as pairs (DATATYPE XY).
    """
    axis = segmentation.axis
    step = float(axis.values[-1] - axis.values[0]) / max(1, axis.channels - 1)
    even = np.abs(axis.values - (axis.values[0] + step * np.arange(axis.channels))).max() <= 1e-3 * abs(step)
    signal = {"keV": "XRF", "channel": "", "1/cm": ""}.get(axis.unit, "CLS")
    paths, names = [], segmentation.cluster_labels
    for cluster in np.flatnonzero(segmentation.sizes):
        spectrum = segmentation.mean_raw[cluster]
        fields = {
            "FORMAT": "EMSA/MAS Spectral Data File",
            "VERSION": "1.0",
            "TITLE": f"mean spectrum of cluster {names[cluster]}, {segmentation.sizes[cluster]} pixels",
            "DATE": _date(segmentation.provenance.created)[0],
            "TIME": _date(segmentation.provenance.created)[1],
            "OWNER": f"deepspec {segmentation.provenance.deepspec}",
            "NPOINTS": f"{axis.channels}.",
            "NCOLUMNS": "1.",
            "XUNITS": axis.unit,
            "YUNITS": "Intensity",
            "DATATYPE": "Y" if even else "XY",
            "XPERCHAN": f"{step:.10g}",
            "OFFSET": f"{axis.values[0]:.10g}",
            "SIGNALTYPE": signal,
        }
        lines = [f"#{key:<12}: {value}" for key, value in fields.items()]
        lines.append(f"#{'SPECTRUM':<12}: Spectral Data Starts Here")
        if even:
            lines += [f"{y:.8g}," for y in spectrum]
        else:
            lines += [f"{x:.10g}, {y:.8g}" for x, y in zip(axis.values, spectrum, strict=True)]
        lines.append(f"#{'ENDOFDATA':<12}: ")
        paths.append(folder / f"cluster-{cluster}.msa")
        _write(paths[-1], lambda part, lines=lines: part.write_text("\r\n".join(lines) + "\r\n"))  # type: ignore[misc]
    return paths


def _date(created: str) -> tuple[str, str]:
    """Date and time as the standard wants them: 22-NOV-2026 and 14:05; empty if they are not known."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return "", ""
    month = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"[3 * moment.month - 3 : 3 * moment.month]
    return f"{moment.day:02d}-{month}-{moment.year}", f"{moment:%H:%M}"


def _write(path: Path, content: Callable[[Path], Any]) -> None:
    with complete_or_absent(path) as part:
        content(part)
