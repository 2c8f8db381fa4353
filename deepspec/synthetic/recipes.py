"""What each pigment of the table is made of: layers, colour, and the palettes it belongs to.

Input of the table maker only; a running program reads the same facts from `pigments.json`. Compositions are
mass fractions of chemical formulas and areal masses are in mg/cm2. Mixtures (lakes, inks, earths, glass) are
plausible choices, not analyses; the membership in palettes is a reading of the literature, not a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

Composition = dict[str, float]
"""Mass fractions by chemical formula; they sum to 1."""


@dataclass(frozen=True)
class Layer:
    """A homogeneous layer: composition and areal mass in mg/cm2."""

    composition: Composition
    mass: float


@dataclass(frozen=True)
class Recipe:
    """One pigment as painted: the formula shown to readers, its layers above the parchment, colour, palettes."""

    name: str
    formula: str
    layers: tuple[Layer, ...]
    srgb: tuple[int, int, int]
    palettes: str
    """Digits of the palettes that contain it, for example "1247"."""


PALETTES = {
    1: "Venice, San Giorgio Maggiore choir books, 15th century",
    2: "Florence, early 14th century",
    3: "Missal of Cardinal Acciaiuoli",
    4: "Bologna, 13th-14th century",
    5: "Lombardy, Michelino da Besozzo",
    6: "Florence, late 15th century",
    7: "Veneto and Verona, late 15th century",
}

BINDER = "C5H8O2"
BINDER_SHARE = 0.25  # dry binder in a paint layer, by mass

# Collagen with the lime, gypsum and salts of parchment making. Mass fractions.
_SALTS = {"CaCO3": 0.032, "CaSO4": 0.006, "KCl": 0.004, "Si": 0.002, "Fe": 0.0003}
_COLLAGEN = 1.0 - sum(_SALTS.values())
PARCHMENT = Layer(
    {"C": 0.50 * _COLLAGEN, "H": 0.07 * _COLLAGEN, "N": 0.17 * _COLLAGEN, "O": 0.26 * _COLLAGEN, **_SALTS}, 25.0
)

_KAOLIN = "Al2Si2O9H4"
_DYE = "C16H10O7"
_BOLE = Layer({"Fe2O3": 0.12, _KAOLIN: 0.88}, 1.5)
_GYPSUM = Layer({"CaSO4H4O2": 1.0}, 5.0)


def _paint(pigment: Composition, mass: float = 4.0) -> tuple[Layer, ...]:
    total = sum(pigment.values())
    shares = {formula: share / total * (1.0 - BINDER_SHARE) for formula, share in pigment.items()}
    return (Layer({**shares, BINDER: BINDER_SHARE}, mass),)


def _leaf(metal: Composition, density: float) -> tuple[Layer, ...]:
    """A leaf of 0.2 um (density in g/cm3, so 0.02 mg/cm2 per unit) on bole on gypsum."""
    return (Layer(metal, 0.02 * density), _BOLE, _GYPSUM)


_LAZURITE = {"Na8Al6Si6S4O24": 0.75, "CaMgSi2O6": 0.15, "CaCO3": 0.07, "FeS2": 0.03}
_RED_LAKE = {"AlO3H3": 0.48, _DYE: 0.44, "K2SO4": 0.06, "CaCO3": 0.02}
_YELLOW_LAKE = {"AlO3H3": 0.40, _DYE: 0.25, "CaCO3": 0.35}
_GALL_INK = {"C14H10O9": 0.73, "FeSO4": 0.20, "K2SO4": 0.05, "CuSO4": 0.015, "ZnSO4": 0.005}
_SMALT = {
    "SiO2": 0.68, "K2O": 0.14, "CoO": 0.06, "As2O3": 0.04, "Fe2O3": 0.04, "CaO": 0.02, "NiO": 0.01, "Bi2O3": 0.01,
}  # fmt: skip

RECIPES = (
    Recipe("lead white", "Pb3C2H2O8", _paint({"Pb3C2H2O8": 1}), (240, 235, 229), "1234567"),
    Recipe("chalk", "CaCO3", _paint({"CaCO3": 1}), (243, 240, 230), "457"),
    Recipe("gypsum", "CaSO4H4O2", _paint({"CaSO4H4O2": 1}), (238, 236, 228), "457"),
    Recipe("vermilion", "HgS", _paint({"HgS": 1}), (206, 60, 46), "1234567"),
    Recipe("red lead", "Pb3O4", _paint({"Pb3O4": 1}), (224, 94, 47), "12467"),
    Recipe("red ochre", "Fe2O3 + clay", _paint({"Fe2O3": 0.45, _KAOLIN: 0.30, "SiO2": 0.25}), (150, 62, 42), "123567"),
    Recipe("red lake", "dye on alum (AlO3H3)", _paint(_RED_LAKE, 2.0), (160, 40, 70), "1234567"),
    Recipe("orpiment", "As2S3", _paint({"As2S3": 1}), (232, 186, 60), "234"),
    Recipe("realgar", "AsS", _paint({"AsS": 1}), (225, 110, 40), "4"),
    Recipe("lead-tin yellow", "Pb2SnO4", _paint({"Pb2SnO4": 1}), (238, 215, 110), "13567"),
    Recipe("mosaic gold", "SnS2", _paint({"SnS2": 1}), (190, 150, 80), "34"),
    Recipe(
        "yellow ochre",
        "FeHO2 + clay",
        _paint({"FeHO2": 0.45, _KAOLIN: 0.30, "SiO2": 0.25}),
        (196, 148, 74),
        "1234567",
    ),
    Recipe("yellow lake", "dye on alum (AlO3H3) + CaCO3", _paint(_YELLOW_LAKE, 2.0), (222, 184, 70), "247"),
    Recipe("gold", "Au on bole", _leaf({"Au": 0.96, "Ag": 0.03, "Cu": 0.01}, 19.3), (206, 166, 84), "1234567"),
    Recipe("silver", "Ag on bole", _leaf({"Ag": 0.97, "Cu": 0.03}, 10.5), (150, 146, 140), "45"),
    Recipe("malachite", "Cu2CH2O5", _paint({"Cu2CH2O5": 1}), (70, 140, 105), "1356"),
    Recipe("verdigris", "CuC4H8O5", _paint({"CuC4H8O5": 1}), (50, 145, 135), "2457"),
    Recipe("copper sulphate green", "Cu4SO10H6", _paint({"Cu4SO10H6": 1}), (75, 150, 100), "17"),
    Recipe("copper chloride green", "Cu2ClO3H3", _paint({"Cu2ClO3H3": 1}), (75, 150, 100), "17"),
    Recipe("green earth", "KMgFeSi4O12H2", _paint({"KMgFeSi4O12H2": 1}), (120, 140, 105), "236"),
    Recipe("vergaut", "indigo + As2S3", _paint({"C16H10N2O2": 0.6, "As2S3": 0.4}), (72, 100, 62), "234"),
    Recipe("azurite", "Cu3C2H2O8", _paint({"Cu3C2H2O8": 1}), (50, 92, 150), "1234567"),
    Recipe("ultramarine", "Na8Al6Si6S4O24", _paint(_LAZURITE), (40, 60, 140), "1234567"),
    Recipe("indigo", "C16H10N2O2 + CaCO3", _paint({"C16H10N2O2": 0.65, "CaCO3": 0.35}, 2.0), (45, 60, 90), "2345"),
    Recipe("smalt", "K-Co-As-Fe-Ni-Bi glass", _paint(_SMALT), (70, 85, 140), ""),
    Recipe("carbon black", "C", _paint({"C": 1}, 1.0), (35, 32, 30), "1234567"),
    Recipe("bone black", "Ca5P3O13H + C", _paint({"Ca5P3O13H": 0.80, "C": 0.20}), (40, 36, 32), "56"),
    Recipe("iron-gall ink", "iron tannate + FeSO4", _paint(_GALL_INK, 1.0), (60, 45, 35), "1234567"),
    Recipe("umber", "FeHO2 + MnO2 + clay", _paint({"FeHO2": 0.45, "MnO2": 0.12, _KAOLIN: 0.43}), (100, 75, 55), "6"),
    Recipe("bismuth ink", "Bi", _paint({"Bi": 1}, 1.0), (120, 115, 110), "1"),
    Recipe("parchment", "collagen + CaCO3", (), (228, 214, 186), "1234567"),
)
