"""Scans of Gaussian lines over a continuum, written without any of the code under test but the table of lines."""

import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube
from deepspec.lines.xray_lines import lines_of

ELEMENTS = ("Ca", "Fe", "Cu", "Pb", "As")
SHELLS = {"Ca": "K", "Fe": "K", "Cu": "K", "Pb": "L", "As": "K"}


def xray_scan(counts=600.0, rows=20, columns=24, offset=0.0, seed=0, scale=1.0):
    """A cube of quarters with different elements; true counts of each element's lines (H, W), by name of the map."""
    rng = np.random.default_rng(seed)
    energy = 0.5 + 0.03 * np.arange(640)
    truth = {}
    spectra = np.zeros((rows, columns, energy.size))
    place = {"Ca": np.s_[:, :], "Fe": np.s_[: rows // 2], "Cu": np.s_[rows // 2 :], "Pb": np.s_[:, : columns // 2]}
    place["As"] = np.s_[rows // 4 : 3 * rows // 4, columns // 3 :]
    sigma0 = (140.0**2 - 2327.5 * 5.895) / 2.3548**2
    for number, element in enumerate(ELEMENTS):
        lines = [line for line in lines_of()[element] if line.name[0] == SHELLS[element]]
        shape = np.zeros_like(energy)
        for line in lines:
            sigma = np.sqrt(sigma0 + 2327.5 / 2.3548**2 * line.energy) / 1000
            shape += line.intensity * np.exp(-0.5 * ((energy - line.energy) / sigma) ** 2) / sigma
        amount = np.zeros((rows, columns))
        amount[place[element]] = counts * (0.6 + 0.2 * number)
        spectra += amount[..., None] * shape / shape.sum()
        truth[f"{element} {SHELLS[element]}"] = amount
    hill = np.exp(-0.5 * ((energy - 9) / 5) ** 2)
    spectra += 0.8 * counts * hill / hill.sum() * rng.uniform(0.7, 1.3, (rows, columns, 1))
    x = rng.poisson(spectra).astype(np.uint16)
    data = x if scale == 1 else (scale * x).astype(np.float32)
    return SpectralCube.from_array(data, SpectralAxis(energy + offset, "keV")), truth


def gas_cube(flux=400.0, noise=1.0, rows=12, columns=14, z=0.01, seed=1):
    """A cube with Hα, [NII] and a tilted continuum in angstrom; flux, velocity and dispersion of Hα (H, W)."""
    rng = np.random.default_rng(seed)
    wavelength = 6400.0 + 1.25 * np.arange(400)
    flux_HW = flux * rng.uniform(0.5, 2, (rows, columns))
    flux_HW[:, :3] = 0
    velocity = np.linspace(-120, 120, columns)[None] * np.ones((rows, 1))
    dispersion = rng.uniform(70, 130, (rows, columns))
    data = (20 + 0.01 * (wavelength - 6400)) * np.ones((rows, columns, 1))
    for rest, share in ((6562.80, 1.0), (6583.45, 0.3), (6548.05, 0.1), (6716.44, 0.2), (6730.82, 0.15)):
        centre = rest * (1 + z) * (1 + velocity / 299792.458)
        sigma = centre * dispersion / 299792.458
        u = (wavelength - centre[..., None]) / sigma[..., None]
        data += share * (flux_HW / sigma)[..., None] * np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi)
    data += rng.normal(0, noise, data.shape)
    return SpectralCube.from_array(data.astype(np.float32), SpectralAxis(wavelength, "angstrom")), (
        flux_HW,
        velocity,
        dispersion,
    )
