"""Line fluxes of photoionised gas from its ionic abundances, in two zones of temperature.

Shapes: N models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepspec.synthetic.nebular_emissivity import balmer, doublet, emissivity, hei_7065

if TYPE_CHECKING:
    import numpy as np
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
