"""Master files: links and virtual datasets into other files, within the folder and out of it."""

import h5py
import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.data.hdf5_file import other_files
from deepspec.errors import UserError

CUBE = np.random.default_rng(0).poisson(3, (5, 4, 70)).astype(np.uint16)
OPTIONS = {"spectral_dim": 2}


@pytest.fixture
def target(tmp_path):
    with h5py.File(tmp_path / "target.h5", "w") as file:
        file["scan/mca"] = CUBE
    return tmp_path / "target.h5"


def master(folder, links, name="master.h5"):
    with h5py.File(folder / name, "w") as file:
        for place, link in links.items():
            file[place] = link
    return folder / name


@pytest.mark.parametrize("dataset", [None, "entry/mca", "/entry/mca", "soft", "chain", "group/mca"])
def test_links_are_followed(tmp_path, target, dataset):
    path = master(
        tmp_path,
        {
            "entry/mca": h5py.ExternalLink("target.h5", "/scan/mca"),
            "soft": h5py.SoftLink("/entry/mca"),
            "chain": h5py.SoftLink("soft"),
            "group": h5py.ExternalLink("target.h5", "/scan"),
        },
    )
    with read_cube(path, dataset=dataset, **OPTIONS) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


def test_an_array_under_several_names_is_one(tmp_path, capsys):
    path = master(tmp_path, {"a/data": CUBE, "b": h5py.SoftLink("/a/data"), "c": h5py.SoftLink("/a")})
    with read_cube(path, **OPTIONS):
        assert "others" not in capsys.readouterr().err


def test_a_plot_of_nexus_in_another_file(tmp_path):
    with h5py.File(tmp_path / "target.h5", "w") as file:
        made = file.create_group("plot")
        made.attrs.update(NX_class="NXdata", signal="mca", axes=["energy", "y", "x"])
        made["mca"] = CUBE.transpose(2, 0, 1)
        made["energy"] = 0.1 * np.arange(1, 71)
        made["energy"].attrs["units"] = "keV"
    path = master(tmp_path, {"entry/data": h5py.ExternalLink("target.h5", "plot")})
    for dataset in (None, "entry/data", "entry/data/mca"):
        with read_cube(path, dataset=dataset) as cube:
            np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
            assert cube.axis.unit == "keV"


@pytest.mark.parametrize("absolute", [True, False])
def test_links_out_of_the_folder_need_leave(tmp_path, target, monkeypatch, absolute):
    inner = tmp_path / "inner"
    inner.mkdir()
    name = str(target) if absolute else "../target.h5"
    path = master(inner, {"entry/mca": h5py.ExternalLink(name, "/scan/mca")})
    with pytest.raises(UserError, match=r"outside its folder; .*DEEPSPEC_EXTERNAL_FILES=allow"):
        read_cube(path, dataset="entry/mca", **OPTIONS)
    with pytest.raises(UserError, match="master"):
        read_cube(path, **OPTIONS)
    monkeypatch.setenv("DEEPSPEC_EXTERNAL_FILES", "allow")
    with read_cube(path, **OPTIONS) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


def test_a_symbolic_link_does_not_lead_out(tmp_path, target):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "target.h5").symlink_to(target)
    path = master(inner, {"entry/mca": h5py.ExternalLink("target.h5", "/scan/mca")})
    with pytest.raises(UserError, match="outside its folder"):
        read_cube(path, dataset="entry/mca", **OPTIONS)


def test_a_path_of_the_beamline_gives_way_to_the_file_beside(tmp_path, target):
    for name in ("/beamline/visit/target.h5", r"C:\visit\target.h5"):
        path = master(tmp_path, {"entry/mca": h5py.ExternalLink(name, "/scan/mca")})
        with read_cube(path, **OPTIONS) as cube:
            np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (h5py.ExternalLink("lost.h5", "/scan/mca"), "in lost.h5, which is missing"),
        (h5py.ExternalLink("target.h5", "/lost"), "no numeric array 'entry/mca'"),
        (h5py.SoftLink("/lost"), "no numeric array 'entry/mca'"),
        (h5py.SoftLink("/entry/mca"), "in a circle"),
    ],
)
def test_links_that_lead_nowhere(tmp_path, target, link, message):
    path = master(tmp_path, {"entry/mca": link})
    with pytest.raises(UserError, match=message):
        read_cube(path, dataset="entry/mca", **OPTIONS)
    with pytest.raises(UserError, match="master"):
        read_cube(path, **OPTIONS)


def virtual(folder, name="target.h5"):
    layout = h5py.VirtualLayout(CUBE.shape, CUBE.dtype)
    layout[...] = h5py.VirtualSource(name, "scan/mca", CUBE.shape)
    with h5py.File(folder / "virtual.h5", "w") as file:
        file.create_virtual_dataset("entry/mca", layout)
    return folder / "virtual.h5"


def test_a_virtual_dataset(tmp_path, target):
    with read_cube(virtual(tmp_path), **OPTIONS) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


def test_a_virtual_dataset_with_a_missing_source_names_it(tmp_path, target):
    path = virtual(tmp_path)
    target.unlink()
    with pytest.raises(
        UserError, match=r"virtual dataset '/entry/mca' takes values from a dataset in target.h5, which is missing"
    ):
        read_cube(path, **OPTIONS)
    with h5py.File(target, "w") as file:
        file["scan/other"] = CUBE
    with pytest.raises(UserError, match=r"takes values from .scan/mca., which target\.h5 has not"):
        read_cube(path, **OPTIONS)


def test_a_virtual_dataset_out_of_the_folder(tmp_path, target):
    (tmp_path / "inner").mkdir()
    with pytest.raises(UserError, match="outside its folder"):
        read_cube(virtual(tmp_path / "inner", str(target)), **OPTIONS)


def test_numbers_in_a_raw_file(tmp_path):
    CUBE.tofile(tmp_path / "numbers.raw")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("mca", CUBE.shape, CUBE.dtype, external=[("numbers.raw", 0, CUBE.nbytes)])
    with read_cube(tmp_path / "a.h5", **OPTIONS) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
    (tmp_path / "numbers.raw").write_bytes(CUBE.tobytes()[:-9])
    with pytest.raises(UserError, match="cut short"):
        read_cube(tmp_path / "a.h5", **OPTIONS)
    (tmp_path / "numbers.raw").unlink()
    with pytest.raises(UserError, match=r"keeps its numbers in numbers.raw, which is missing"):
        read_cube(tmp_path / "a.h5", **OPTIONS)


def test_all_files_that_a_master_file_takes_data_from(tmp_path, target):
    """Links of links, virtual data sets with numbered sources, and raw numbers."""
    for number in range(3):
        with h5py.File(tmp_path / f"part{number}.h5", "w") as file:
            file["x"] = np.arange(4.0)
    np.arange(4.0).tofile(tmp_path / "numbers.raw")
    master(tmp_path, {"deep": h5py.ExternalLink("target.h5", "/scan/mca")}, "middle.h5")
    path = master(tmp_path, {"entry": h5py.ExternalLink("middle.h5", "/deep"), "lost": h5py.ExternalLink("no.h5", "/")})
    with h5py.File(path, "r+") as file:
        layout = h5py.VirtualLayout((3, 4), float)
        for number in range(3):
            layout[number] = h5py.VirtualSource(f"part{number}.h5", "x", (4,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (4,), float, external=[("numbers.raw", 0, 32)])
    expected = ["middle.h5", "numbers.raw", "part0.h5", "part1.h5", "part2.h5", "target.h5"]
    assert [found.name for found in other_files(path)] == expected
    assert other_files(target) == []
