"""Names of the formats that RosettaSciIO alone reads; the library itself is imported elsewhere, when it is used."""

from __future__ import annotations

EXTENSIONS = {
    ".app5": "Topspin",
    ".asw": "JEOL",
    ".bcf": "Bruker",
    ".blo": "NanoMegas blockfile",
    ".de5": "Direct Electron EMD",
    ".dm3": "Digital Micrograph",
    ".dm4": "Digital Micrograph",
    ".eds": "JEOL",
    ".elid": "Phenom",
    ".emd": "Velox EMD",
    ".emi": "FEI TIA",
    ".mib": "Quantum Detectors",
    ".mrc": "MRC",
    ".mrcz": "MRCZ",
    ".nc": "netCDF",
    ".prz": "PantaRhei",
    ".pro": "Digital Surf",
    ".pts": "JEOL",
    ".ser": "FEI TIA",
    ".spc": "EDAX",
    ".spd": "EDAX",
    ".spx": "Bruker",
    ".sur": "Digital Surf",
    ".tvf": "TriVista",
    ".tvips": "TVIPS",
    ".unf": "Semper",
    ".wdf": "Renishaw",
    ".xml": "Horiba JobinYvon",
}
HDF5_EXTENSIONS = (".emd", ".de5")  # HDF5 inside, but in an order that only the library knows
