"""Models of three kinds of nebula: physical conditions are drawn, line fluxes follow.

HII regions and planetary nebulae are photoionised: abundances and temperatures are drawn, and emissivities of the ions
in two zones of temperature give the lines. No single temperature and density describes a shock, so there the ratios of
lines themselves are drawn, around those of supernova remnants in nearby galaxies.

Shapes: N models, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepspec.synthetic.nebular_lines import balmer, doublet, emissivity, hei_7065, nii_5755, siii_6312, stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


_HEII_5412 = 93.0  # per He++ and 100 H beta at 10,000 K; 4686 lies outside the wavelengths of MUSE


@dataclass(frozen=True)
class Gas:
    """State of N nebulae; abundances are ions per proton.

    Attributes:
        high: electron temperature of the inner zone (O++, He), K.
        low: of the outer zone (O+, N+, S+ and neutral atoms), K.
        density: electrons per cm3.
        he1: He+.
        he2: He++.
        o0: neutral oxygen.
        o1: O+.
        o2: O++.
        n0: neutral nitrogen.
        n1: N+.
        s1: S+.
        s2: S++.
        ar2: Ar++.
        cl: flux of [ClIII] 5518, H beta = 100.
    """

    high: Array
    low: Array
    density: Array
    he1: Array
    he2: Array
    o0: Array
    o1: Array
    o2: Array
    n0: Array
    n1: Array
    s1: Array
    s2: Array
    ar2: Array
    cl: Array


def line_fluxes(gas: Gas) -> dict[str, Array]:
    """Flux of each feature, (N,), H beta = 100."""
    middle = 0.83 * gas.high + 1700  # zone of S++ and Ar++ (Garnett 1992)

    def flux(feature: str, ions: Array, temperature: Array) -> Array:
        return 100 * ions * emissivity(feature, temperature, gas.density, gas.high)

    sulphur = flux("[SII]6716", gas.s1, gas.low) + flux("[SII]6731", gas.s1, gas.low)
    nitrogen = flux("[NI]5198", gas.n0, gas.low) + flux("[NI]5200", gas.n0, gas.low)
    helium = flux("HeI5876", gas.he1, gas.high)
    result = {
        "Hb": 100 + 0 * gas.high,
        "Ha": 100 * balmer(gas.high),
        "HeI5876": helium,
        "HeI7065": helium * hei_7065(gas.density),
        "HeII5412": _HEII_5412 * gas.he2,
        "[OIII]5007": flux("[OIII]5007", gas.o2, gas.high),
        "[NII]6583": flux("[NII]6583", gas.n1, gas.low),
        "[NII]5755": flux("[NII]5755", gas.n1, gas.low),
        "[OI]6300": flux("[OI]6300", gas.o0, gas.low),
        "[SIII]9069": flux("[SIII]9069", gas.s2, middle),
        "[SIII]6312": flux("[SIII]6312", gas.s2, middle),
        "[ArIII]7136": flux("[ArIII]7136", gas.ar2, middle),
        "[OII]7325": flux("[OII]7325", gas.o1, gas.low),
    }
    result["[SII]6716"], result["[SII]6731"] = doublet("[SII]", sulphur, gas.density)
    result["[NI]5198"], result["[NI]5200"] = doublet("[NI]", nitrogen, gas.density)
    first, second = doublet("[ClIII]", 1.0 + 0 * gas.cl, gas.density)
    result["[ClIII]5518"], result["[ClIII]5538"] = gas.cl, gas.cl * second / first
    return result


CLASSES = ("background", "HII region", "planetary nebula", "shock")  # position = label
NEBULAE = (1, 2, 3)  # labels of the classes that emit


@dataclass(frozen=True)
class NebularModels:
    """N models of one class.

    Attributes:
        flux_NF: flux of each feature without extinction, H beta = 100.
        parameters: what was drawn, (N,) by name; temperatures in K, `log_n` of electrons per cm3.
    """

    flux_NF: Array
    parameters: dict[str, Array]


def draw_models(label: int, n: int, rng: np.random.Generator) -> NebularModels:
    """Draw n models of the class with this label, 1 to 3."""
    samplers: dict[int, Callable[[int, np.random.Generator], NebularModels]]
    samplers = {1: hii_regions, 2: planetary_nebulae, 3: shocks}
    return samplers[label](n, rng)


def hii_regions(n: int, rng: np.random.Generator) -> NebularModels:
    """HII regions of a spiral like M33: 12 + log O/H from 8.10 to 8.65, hotter and more ionised where poorer."""
    oh = rng.uniform(8.10, 8.65, n)
    x = np.clip(rng.normal(0.62 - (oh - 8.1), 0.18), 0.05, 0.9)  # O++ / O
    high = np.clip(12200 - 7200 * (oh - 8.1) + rng.normal(0, 500, n), 7000, 13500)
    log_n = rng.uniform(1.3, 2.6, n)
    log_no = rng.normal(-1.25 + 0.35 * (oh - 8.35), 0.12)
    o = 10.0 ** (oh - 12)
    s = o * 10 ** rng.normal(-1.6, 0.08, n)
    ar = o * 10 ** rng.normal(-2.3, 0.08, n)
    o1 = o * (1 - x)
    # Puts [OI]/Ha among the measured ones; -1.9, from models of ionised gas alone, is four times too faint.
    o0 = o1 * 10 ** rng.normal(-1.5, 0.25, n)
    s1 = s * (0.04 + 0.32 * (1 - x) ** 1.3)
    gas = Gas(
        high=high,
        low=0.7 * high + 3000,
        density=10**log_n,
        he1=0.087 * (0.75 + 0.5 * x),
        he2=np.zeros(n),
        o0=o0,
        o1=o1,
        o2=o * x,
        n0=0.25 * o0 * 10**log_no,
        n1=o1 * 10**log_no,
        s1=s1,
        s2=(s - s1) * (1 - 0.35 * x**2),
        ar2=ar * (0.55 + 0.4 * x),
        cl=rng.uniform(0.3, 0.6, n),
    )
    return NebularModels(
        stack(line_fluxes(gas)),
        {"oh": oh, "ionisation": x, "t_high": high, "t_low": gas.low, "log_n": log_n, "log_no": log_no},
    )


def planetary_nebulae(n: int, rng: np.random.Generator) -> NebularModels:
    """Planetary nebulae: dense, hot and highly ionised, helium partly twice; nitrogen anywhere from poor to rich."""
    oh = rng.uniform(8.0, 8.75, n)
    high = np.clip(14500 - 5500 * (oh - 8) + rng.normal(0, 1000, n), 8500, 17000)
    low = np.clip(high * rng.uniform(0.78, 1.05, n), 8000, 14000)
    log_n = rng.uniform(3, 4.2, n)
    he = rng.uniform(0.09, 0.13, n)
    he2_share = np.minimum(rng.beta(0.7, 3, n), 0.7)
    o = 10.0 ** (oh - 12)
    seen = o * (1 - he2_share) ** (2 / 3)  # where helium is He++, oxygen is O+3 and above
    o1_share = 10 ** rng.uniform(-1.7, -0.4, n)
    log_no = np.clip(rng.normal(-0.65, 0.3, n), -1.3, 0.3)
    s = o * 10 ** rng.normal(-1.75, 0.12, n)
    o1 = seen * o1_share
    o0 = o1 * 10 ** rng.normal(-1.1, 0.3, n)
    gas = Gas(
        high=high,
        low=low,
        density=10**log_n,
        he1=he * (1 - he2_share),
        he2=he * he2_share,
        o0=o0,
        o1=o1,
        o2=seen - o1,
        n0=0.25 * o0 * 10**log_no,
        n1=o1 * 10**log_no,
        s1=s * 0.5 * o1_share,
        s2=s * rng.uniform(0.3, 0.6, n),
        ar2=o * 10 ** rng.normal(-2.3, 0.08, n) * rng.uniform(0.4, 0.8, n),
        cl=rng.uniform(0.3, 0.6, n),
    )
    return NebularModels(
        stack(line_fluxes(gas)),
        {"oh": oh, "ionisation": 1 - o1_share, "t_high": high, "t_low": low, "log_n": log_n, "log_no": log_no,
         "he2_share": he2_share},
    )  # fmt: skip


def shocks(n: int, rng: np.random.Generator) -> NebularModels:
    """Shocked gas of supernova remnants: [SII] rivals H alpha, neutral oxygen is strong."""
    ha = rng.uniform(290, 310, n)
    sii = np.clip(np.exp(rng.normal(np.log(0.75), 0.30, n)), 0.4, 1.5) * ha
    nii = sii * 10 ** rng.normal(-0.20, 0.13, n)
    log_oiii = np.clip(rng.normal(0.28, 0.28, n), -0.5, 0.95)
    low = rng.uniform(9000, 12500, n)
    log_n = rng.uniform(1.7, 2.8, n)
    siii = rng.uniform(5, 20, n)
    hei = rng.uniform(8, 14, n)
    flux = {
        "Hb": np.full(n, 100.0),
        "Ha": ha,
        "HeI5876": hei,
        "HeI7065": hei * hei_7065(10**log_n),
        "HeII5412": rng.uniform(0, 0.8, n),
        "[OIII]5007": 100 * 10**log_oiii,
        "[NII]6583": nii,
        "[NII]5755": nii * nii_5755(low),
        "[OI]6300": sii * 10 ** rng.normal(-0.72, 0.22, n),
        "[SIII]9069": siii,
        "[SIII]6312": siii * siii_6312(low),
        "[ArIII]7136": rng.uniform(5, 15, n),
        "[OII]7325": rng.uniform(10, 40, n),
        "[FeII]8617": rng.uniform(2, 10, n),
        "[CaII]7291": rng.uniform(2, 10, n),
        "[FeIII]4881": rng.uniform(1, 3, n),
    }
    flux["[SII]6716"], flux["[SII]6731"] = doublet("[SII]", sii, 10**log_n)
    flux["[NI]5198"], flux["[NI]5200"] = doublet("[NI]", rng.uniform(5, 30, n), 10**log_n)
    return NebularModels(stack(flux), {"t_low": low, "log_n": log_n})
