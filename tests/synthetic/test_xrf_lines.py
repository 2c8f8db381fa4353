import numpy as np
import pytest

from deepspec.lines.xray_lines import xrf_lines
from deepspec.synthetic.scanner import response


# keV, from standard tables (Bearden 1967)
@pytest.mark.parametrize(
    ("element", "name", "energy"),
    [("Ca", "Ka1", 3.6917), ("Fe", "Ka1", 6.4038), ("Cu", "Ka1", 8.0478), ("Cu", "Kb1", 8.9053),
     ("Hg", "La1", 9.9888), ("Pb", "La1", 10.5515), ("Pb", "Lb1", 12.6137), ("Au", "Ma1", 2.1229)],
)  # fmt: skip
def test_energies(element, name, energy):
    [line] = [line for line in xrf_lines() if (line.element, line.name) == (element, name)]
    assert line.energy == pytest.approx(energy, abs=0.003)


def test_every_line_is_on_the_axis_and_relative_to_the_strongest_of_its_shell():
    strongest: dict[tuple[str, str], float] = {}
    for line in xrf_lines():
        assert 0.2 <= line.energy <= 120
        assert 0 <= line.intensity <= 1
        shell = line.element, line.name[0]
        strongest[shell] = max(strongest.get(shell, 0), line.intensity)
    assert set(strongest.values()) == {1.0}


def read_msa(path):
    """Counts and channel energies in keV of an EMSA/MAS text file."""
    header, values = {}, []
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            header[key.strip()] = value.strip()
        else:
            values += [float(v) for v in line.split(",") if v.strip()]
    counts = np.array(values)
    return float(header["OFFSET"]) + float(header["XPERCHAN"]) * np.arange(counts.size), counts


@pytest.mark.parametrize("element", ["Ti", "Cr", "Fe", "Ni", "Cu"])
def test_k_lines_agree_with_a_measured_pure_element(shared_data, element):
    path = shared_data / "nist_xrf" / f"{element}_50kv_50_ma_Rh_vac_D1.msa"
    energy, counts = read_msa(path)
    lines = [line for line in xrf_lines() if line.element == element and line.name.startswith("K")]
    half = (energy[1] - energy[0]) / 2
    edges = np.append(energy - half, energy[-1] + half)
    rows = response(np.array([line.energy for line in lines]), np.zeros(len(lines)), edges, 144.0)
    model = np.array([line.intensity for line in lines]) @ rows
    window = (energy > lines[0].energy - 0.3) & (energy < lines[0].energy + 1.0)
    measured, model = counts[window] - counts[window].min(), model[window]
    cosine = measured @ model / np.linalg.norm(measured) / np.linalg.norm(model)
    assert cosine > 0.995  # a shift of 20 eV or a width wrong by 10 % would show
