"""What TIFF files say of their bands: GDAL's tag of metadata, and OME's description.

GDAL writes `<Item name="SCALE" sample="0" role="scale">0.0001</Item>` for each band, counted from 0, and likewise the
offset (value = scale x number + offset), the band's description, and wavelengths under several names. OME-XML gives
each channel an EmissionWavelength, in nm unless it says otherwise.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import numpy as np

from deepspec.axis import find_unit
from deepspec.data.readers.described import positions_in_names
from deepspec.data.readers.stored import AxisCandidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WAVELENGTHS = {  # names of items -> their unit; None: it is in an item of its own, or not said
    "wavelength": None,
    "wavelengths": None,
    "center_wavelength": None,
    "central_wavelength_um": "um",
    "central_wavelength_nm": "nm",
}


class GdalBands:
    """The items of GDAL's tag that speak of bands.

    Args:
        text: content of the tag, XML.
        bands: their number C.
    """

    def __init__(self, text: str, bands: int) -> None:
        self._bands = bands
        self._items: dict[str, dict[int, str]] = {}
        for attributes, value in re.findall(r"<Item\b([^<>]*)>([^<>]*)</Item>", text):
            found = dict(re.findall(r"(\w+)\s*=\s*\"([^\"]*)\"", attributes))
            if found.get("sample", "").isdigit() and int(found["sample"]) < bands:
                name = found.get("role") or found.get("name", "")
                self._items.setdefault(name.lower(), {})[int(found["sample"])] = html.unescape(value).strip()

    def scale_and_offset(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(C,) each: value = scale x number + offset; 1 and 0 where the tag says nothing.

        Raises:
            ValueError: one of them is no number, or a scale is zero.
        """
        scale, offset = (
            np.array([float(self._items.get(name, {}).get(band, neutral)) for band in range(self._bands)])
            for name, neutral in (("scale", "1"), ("offset", "0"))
        )
        if not (np.isfinite(scale) & np.isfinite(offset) & (scale != 0)).all():
            raise ValueError("the scale or offset of a band in GDAL's metadata is no number to work with")
        return scale, offset

    def axis(self) -> AxisCandidate | None:
        """The wavelengths of the bands, from items of their own or their descriptions; None if not all have one."""
        for name, unit in _WAVELENGTHS.items():
            texts = self._items.get(name, {})
            if len(texts) < self._bands or self._bands < 2:
                continue
            try:
                values = np.array([float(texts[band].split()[0]) for band in range(self._bands)])
            except (ValueError, IndexError):
                continue
            said = unit or next(
                (u for key in ("wavelength_units", "wavelength_unit") for u in self._items.get(key, {}).values()), ""
            )
            rest = texts[0].partition(" ")[2].strip()
            return AxisCandidate(name, values, said or (rest if find_unit(rest or ".") else None), "stated")
        texts = self._items.get("description", {})
        return positions_in_names([texts.get(band, "") for band in range(self._bands)])


def ome_axis(description: str, image: int, channels: int) -> AxisCandidate | None:
    """Wavelengths of the channels of an image in OME-XML; None unless each of its `channels` has one."""
    images = re.split(r"<Image\b", description)[1:]
    if not image < len(images):
        return None
    values, unit = [], "nm"
    for attributes in re.findall(r"<Channel\b([^<>]*)>", images[image]):
        found = re.search(r"\bEmissionWavelength\s*=\s*\"([\d.eE+-]+)\"", attributes)
        if found is None:
            return None
        values.append(float(found[1]))
        said = re.search(r"\bEmissionWavelengthUnit\s*=\s*\"([^\"]*)\"", attributes)
        unit = html.unescape(said[1]) if said is not None else unit
    if len(values) != channels or channels < 2:
        return None
    return AxisCandidate("EmissionWavelength", np.array(values), unit, "stated")
