"""RosettaSciIO is an extra: without it the error names it, with it its files are read."""

import sys
import types

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.errors import UserError

CUBE = np.random.default_rng(0).poisson(5, (5, 4, 70)).astype(np.uint16)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "map.bcf").write_bytes(b"AAMVHFSS" + bytes(100))
    return tmp_path / "map.bcf"


def test_the_extra_is_named_when_it_is_missing(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsciio", None)  # what Python does for a module that is not there
    with pytest.raises(
        UserError, match=r"map.bcf: Bruker files \(.bcf\) are read by RosettaSciIO.*deepspec\[rosettasciio\]"
    ):
        read_cube(path)


class Lazy:
    """As much of a dask array as is used of it."""

    def __init__(self, array, parts):
        self.array, self.npartitions = array, parts
        self.shape, self.dtype = array.shape, array.dtype
        self.chunksize = (1, *array.shape[1:])
        self.computed = 0

    def __getitem__(self, index):
        self.part = Lazy(self.array[index], 1)
        return self.part

    def compute(self, scheduler):
        assert scheduler == "synchronous"
        self.computed += 1
        return self.array


def library(monkeypatch, signals):
    """A stand-in for the library, which reads .bcf files as `signals`."""

    def file_reader(filename, lazy):
        if isinstance(signals, Exception):
            raise signals
        return signals

    main = types.ModuleType("rsciio")
    main.IO_PLUGINS = [{"file_extensions": ["bcf", "BCF"], "api": "rsciio_bruker"}]
    reader = types.ModuleType("rsciio_bruker")
    reader.file_reader = file_reader
    monkeypatch.setitem(sys.modules, "rsciio", main)
    monkeypatch.setitem(sys.modules, "rsciio_bruker", reader)


def signal(data, units="keV", title="EDX"):
    axes = [{"name": "height", "navigate": True}, {"name": "width", "navigate": True}]
    axes.append({"name": "Energy", "navigate": False, "offset": -0.5, "scale": 0.02, "units": units})
    return {"data": data, "axes": axes, "metadata": {"General": {"title": title}}}


@pytest.mark.parametrize("parts", [1, 8])
def test_lazy_data_are_computed_by_blocks_or_once(path, monkeypatch, parts):
    lazy = Lazy(CUBE, parts)
    library(monkeypatch, [{**signal(CUBE[..., 0]), "axes": []}, signal(lazy)])
    with read_cube(path) as cube:
        assert cube.shape == (5, 4, 70)
        np.testing.assert_allclose(cube.axis.values, -0.5 + 0.02 * np.arange(70))
        assert cube.metadata == {"title": "EDX"}
        for row in range(5):
            np.testing.assert_array_equal(cube.read_rows(row, row + 1), CUBE[row : row + 1])
    assert lazy.computed == (1 if parts == 1 else 0)


def test_a_signal_is_chosen_and_an_unknown_unit_said(path, monkeypatch, capsys):
    library(monkeypatch, [signal(CUBE), signal(CUBE * 2, "mm", "other")])
    for name in ("1", "1:other"):
        with read_cube(path, dataset=name) as cube:
            np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE * 2)
            assert cube.axis.unit == "channel"
    assert "'mm', which is not understood" in capsys.readouterr().err
    with pytest.raises(UserError, match="no numeric array 'third'; arrays found: EDX"):
        read_cube(path, dataset="third")


@pytest.mark.parametrize("error", [OSError("not an SFS container"), IndexError("list index"), ValueError("bad")])
def test_what_the_library_raises_is_one_error(path, monkeypatch, error):
    library(monkeypatch, error)
    with pytest.raises(UserError, match=r"map.bcf: cannot be read as Bruker by RosettaSciIO, the file may be damaged"):
        read_cube(path)


def test_a_library_without_the_format(path, monkeypatch):
    library(monkeypatch, [])
    with pytest.raises(UserError, match=r"the installed RosettaSciIO reads no .unf files"):
        read_cube(path.rename(path.with_suffix(".unf")))


def axes(*named):
    """Axes as the library hands them over: name, unit, scale, offset, navigate; or a list of values for the scale."""
    made = []
    for name, unit, scale, offset, navigate in named:
        values = {"axis": scale} if isinstance(scale, np.ndarray) else {"scale": scale, "offset": offset}
        made.append({"name": name, "units": unit, "navigate": navigate, **values})
    return made


WAVELENGTHS = 1239.84 / np.linspace(4.0, 1.2, 70)


@pytest.mark.parametrize(
    ("named", "order", "unit", "expected"),
    [
        # Digital Micrograph: energies first, and every axis a signal axis
        ([("Energy Loss", "eV", 0.5, 300.0, False), ("y", "nm", 2.0, 0.0, False), ("x", "nm", 2.0, 0.0, False)],
         (2, 0, 1), "keV", 0.3 + 0.0005 * np.arange(70)),
        ([("", "eV", 0.5, 300.0, False), ("", "nm", 2.0, 0.0, False), ("", "um", 2.0, 0.0, True)],
         (2, 0, 1), None, None),
        ([("y", "µm", 2.0, 0.0, True), ("x", "µm", 2.0, 0.0, True), ("Wavelength", "nm", WAVELENGTHS, 0, False)],
         (0, 1, 2), "nm", WAVELENGTHS),
        ([("y", "mm", 2.0, 0.0, True), ("x", "mm", 2.0, 0.0, True), ("Wavelength", "mm", 1e-6, 3e-4, False)],
         (0, 1, 2), "um", 0.3 + 1e-3 * np.arange(70)),
        ([("x", "µm", 2.0, 0.0, True), ("y", "µm", 2.0, 0.0, True), ("Energy", "keV", 0.01, 0.0, False)],
         (1, 0, 2), "keV", 0.01 * np.arange(70)),
        ([("y", "µm", 2.0, 0.0, True), ("x", "µm", 2.0, 0.0, True), ("", None, 1.0, 0.0, False)],
         (0, 1, 2), "channel", np.arange(70)),
    ],
)  # fmt: skip
def test_whatever_axis_is_named_is_used(path, monkeypatch, named, order, unit, expected):
    data = CUBE.transpose(order)
    library(monkeypatch, [{"data": data, "axes": axes(*named), "metadata": {}}])
    options = {} if unit is not None else {"spectral_dim": 0}
    with read_cube(path, **options) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        if unit is not None:
            assert cube.axis.unit == unit
            np.testing.assert_allclose(cube.axis.values, expected)


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'numba'", name="numba"), ImportError("mrcz")])
def test_a_package_that_is_missing_is_named(path, monkeypatch, error):
    library(monkeypatch, error)
    with pytest.raises(UserError, match=r"the package '(numba|mrcz)' is needed.*pip install 'deepspec\[formats\]'"):
        read_cube(path)


def test_with_the_library_itself(tmp_path):
    pytest.importorskip("rsciio", reason="the extra rosettasciio is not installed")
    from rsciio import emd

    axes = [
        {"name": n, "size": s, "offset": o, "scale": c, "units": u, "navigate": n != "Energy", "index_in_array": i}
        for i, (n, s, o, c, u) in enumerate(
            [("y", 5, 0.0, 1.0, "um"), ("x", 4, 0.0, 1.0, "um"), ("Energy", 70, 0.5, 0.02, "keV")]
        )
    ]
    emd.file_writer(
        str(tmp_path / "a.emd"),
        {"data": CUBE, "axes": axes, "metadata": {"General": {"title": "map"}, "Signal": {}}, "original_metadata": {}},
    )
    with read_cube(tmp_path / "a.emd", spectral_dim=2) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
    (tmp_path / "a.bcf").write_bytes(b"no container at all")
    with pytest.raises(UserError, match="cannot be read as Bruker by RosettaSciIO"):
        read_cube(tmp_path / "a.bcf")
