"""Make the committed pigment table: `python -m deepspec.synthetic.pigment_table` (needs `deepspec[xrf]`).

Forward model of a laboratory MA-XRF scanner: tube -> layers -> detector. Left out: secondary fluorescence (a few
per cent of some lines) and pile-up. It writes, beside this file,

- `pigments.npz`: what each pigment emits, line by line, and its spectrum at the nominal resolution;
- `pigments.json`: recipes, palettes and every parameter.

The table of line energies is made by `deepspec.lines.make_xray_table`.

Shapes: P pigments, E emission energies, C channels, Z elements.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
from dataclasses import asdict
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xraylib
import xraylib_np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from deepspec.synthetic import fluorescence, scanner
from deepspec.synthetic.fluorescence import Elements, Slab
from deepspec.synthetic.recipes import PALETTES, PARCHMENT, RECIPES
from deepspec.synthetic.scanner import SCANNER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepspec.synthetic.fluorescence import Emission
    from deepspec.synthetic.recipes import Composition, Layer, Recipe
    from deepspec.synthetic.scanner import Beam, Filter

    Array = NDArray[np.float64]

FOLDER = Path(__file__).parent

# Siegbahn name: the transition in xraylib's notation
LINES = {
    "Ka1": "KL3", "Ka2": "KL2", "Kb1": "KM3", "Kb3": "KM2",
    "La1": "L3M5", "La2": "L3M4", "Lb1": "L2M4", "Lb3": "L1M3", "Lb4": "L1M2", "Lb2": "L3N5", "Lb15": "L3N4",
    "Lg1": "L2N4", "Lg2": "L1N2", "Lg3": "L1N3", "Ll": "L3M1", "Ln": "L2M1",
    "Ma1": "M5N7", "Ma2": "M5N6", "Mb": "M4N6", "Mg": "M3N5",
}  # fmt: skip


class Xraylib:
    """`AtomicData` from xraylib, which raises ValueError for a line that an element does not have."""

    def attenuation(self, elements: Elements, energy: Array) -> Array:
        """Total mass attenuation in cm2/g."""
        return _mix(elements, xraylib_np.CS_Total(_numbers(elements), energy))

    @cache  # noqa: B019  # one instance, which lives as long as the program
    def lines(self, z: int) -> dict[str, float]:
        """Energies in keV of the lines on the axis."""
        found = {}
        for name in LINES:
            try:
                energy = xraylib.LineEnergy(z, _transition(name))
            except ValueError:
                continue
            if scanner.AXIS_KEV[0] <= energy <= scanner.AXIS_KEV[1]:
                found[name] = energy
        return found

    def production(self, z: int, line: str, energy: Array) -> Array:
        """Photo-ionisation times yield times branching, with cascades and Coster-Kronig transitions."""
        lines = np.array([_transition(line)])
        return np.asarray(xraylib_np.CS_FluorLine_Kissel_Cascade(np.array([z]), lines, energy)[0, 0])

    def elastic(self, elements: Elements, energy: Array, angle: float) -> Array:
        """Rayleigh, cm2/g/sr."""
        return _mix(elements, xraylib_np.DCS_Rayl(_numbers(elements), energy, np.array([angle]))[:, :, 0])

    def inelastic(self, elements: Elements, energy: Array, angle: float) -> Array:
        """Compton, cm2/g/sr."""
        return _mix(elements, xraylib_np.DCS_Compt(_numbers(elements), energy, np.array([angle]))[:, :, 0])


ATOMS = Xraylib()


def _numbers(elements: Elements) -> NDArray[np.int_]:
    return np.array(list(elements))


def _mix(elements: Elements, values_ZE: Array) -> Array:
    return np.asarray(np.array(list(elements.values())) @ values_ZE)


def _transition(line: str) -> int:
    return int(getattr(xraylib, f"{LINES[line]}_LINE"))


def elements_of(composition: Composition) -> Elements:
    """Mass fraction by atomic number of a mixture of formulas."""
    found: Elements = {}
    for formula, share in composition.items():
        compound = xraylib.CompoundParser(formula)
        for z, fraction in zip(compound["Elements"], compound["massFractions"], strict=True):
            found[z] = found.get(z, 0.0) + share * fraction
    return found


def filtered(filters: Sequence[Filter], energy: Array) -> Array:
    """Share of photons that pass all filters."""
    depth = np.zeros_like(energy)
    for f in filters:
        depth += ATOMS.attenuation(elements_of(f.composition), energy) * f.density * f.thickness
    return np.asarray(np.exp(-depth))


def efficiency(energy: Array) -> Array:
    """Share of the photons that set out towards the detector which it counts."""
    return np.asarray(filtered(SCANNER.detector_filters, energy) * (1.0 - filtered([SCANNER.crystal], energy)))


@lru_cache
def beam_at_sample() -> Beam:
    """The tube's spectrum behind its window and the air."""
    z = xraylib.SymbolToAtomicNumber(SCANNER.anode)
    grid = scanner.tube_grid(SCANNER.kilovolt)
    continuum = scanner.ebel_continuum(
        grid, ATOMS.attenuation({z: 1.0}, grid), z=z, atomic_weight=xraylib.AtomicWeight(z), kilovolt=SCANNER.kilovolt
    )
    lines = {name: energy for name, energy in ATOMS.lines(z).items() if name.startswith("K")}
    rates = np.array([xraylib.RadRate(z, _transition(name)) for name in lines])
    beam = scanner.tube_beam(
        continuum, SCANNER.kilovolt, np.array(list(lines.values())), rates, SCANNER.anode_line_share
    )
    return scanner.Beam(beam.energy, beam.photons * filtered(SCANNER.tube_filters, beam.energy), beam.lines)


def emission_of(recipe: Recipe) -> Emission:
    """What a pigment on parchment sends to the detector."""
    stack = tuple(_slab(layer) for layer in (*recipe.layers, PARCHMENT))
    with threadpool_limits(1):  # xraylib starts threads for arrays of a few elements, ten times slower if shared
        return fluorescence.emit(stack, beam_at_sample(), SCANNER.kilovolt, ATOMS)


def _slab(layer: Layer) -> Slab:
    return Slab(elements_of(layer.composition), layer.mass / 1000.0)


def make_table() -> dict[str, NDArray[Any]]:
    """Arrays of `pigments.npz`; see `deepspec.synthetic.pigments` for what each holds."""
    emissions = [emission_of(recipe) for recipe in RECIPES]
    # The parchment is the last layer of every stack: its lines get columns of their own, to be varied.
    columns: dict[tuple[int, str, bool], None] = {}
    intensities = []
    for recipe, found in zip(RECIPES, emissions, strict=True):
        own: dict[tuple[int, str, bool], float] = {}
        for (z, name, layer), intensity in found.lines.items():
            key = (z, name, layer == len(recipe.layers))
            own[key] = own.get(key, 0.0) + intensity
            columns[key] = None
        intensities.append(own)
    keys = sorted(columns)
    beam, grid = beam_at_sample(), fluorescence.scatter_grid(SCANNER.kilovolt)
    energy = np.concatenate([[ATOMS.lines(z)[name] for z, name, _ in keys], beam.energy[-beam.lines :], grid])
    scatter = energy.size - len(keys)
    silicon = {14: 1.0}
    escape = scanner.escape_fraction(
        energy,
        ATOMS.attenuation(silicon, energy),
        float(ATOMS.attenuation(silicon, np.array([scanner.SILICON_KA_KEV]))[0]),
    )
    emitted = np.array(
        [
            np.concatenate([[own.get(key, 0.0) for key in keys], found.anode, found.scattered])
            for own, found in zip(intensities, emissions, strict=True)
        ]
    ) * efficiency(energy)
    spectra = emitted @ scanner.response(energy, escape, scanner.channel_edges(SCANNER.channels), SCANNER.fwhm_mn_ev)
    total = spectra.sum(axis=1)
    reference = [recipe.name for recipe in RECIPES].index("azurite")
    return {
        "spectra": scanner.add_floor(spectra).astype(np.float32),
        "rate": total / total[reference],
        "energy": energy,
        "element": np.array([z for z, _, _ in keys] + [0] * scatter, dtype=np.int16),
        "parchment": np.array([below for _, _, below in keys] + [False] * scatter),
        "emission": (emitted / total[reference]).astype(np.float32),
        "escape": escape,
    }


def describe() -> dict[str, Any]:
    """Contents of `pigments.json`."""
    pigments = []
    for recipe in RECIPES:
        top = elements_of((recipe.layers or (PARCHMENT,))[0].composition)
        pigments.append(
            {
                "name": recipe.name,
                "formula": recipe.formula,
                "srgb": recipe.srgb,
                "palettes": [int(digit) for digit in recipe.palettes],
                "layers": [{"composition": la.composition, "mg_per_cm2": la.mass} for la in recipe.layers],
                "top_layer_elements": {
                    xraylib.AtomicNumberToSymbol(z): round(share, 6) for z, share in sorted(top.items())
                },
            }
        )
    metadata = importlib.metadata.metadata("xraylib")
    licence = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License")]
    return {
        "library": {"name": "xraylib", "version": metadata["Version"], "licence": metadata["License"] or licence},
        "parameters": {
            **asdict(SCANNER),
            "incidence_and_take_off_degrees": 45,
            "scatter_degrees": 90,
            "compton_sigma_share": fluorescence.COMPTON_SIGMA,
            "fano": scanner.FANO,
            "pair_energy_ev": scanner.PAIR_ENERGY_EV,
            "floor": scanner.FLOOR,
            "axis_kev": scanner.AXIS_KEV,
            "parchment": {"composition": PARCHMENT.composition, "mg_per_cm2": PARCHMENT.mass},
        },
        "palettes": PALETTES,
        "pigments": pigments,
    }


def write(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
    print(f"wrote {path} ({len(content) / 1024:.0f} kB)")


def main() -> None:
    """Make the two files."""
    arrays = io.BytesIO()
    np.savez_compressed(arrays, allow_pickle=False, **make_table())
    write(FOLDER / "pigments.npz", arrays.getvalue())
    write(FOLDER / "pigments.json", (json.dumps(describe(), indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
