"""Files that follow the NeXus and HyperSpy conventions, written here after their manuals."""

import h5py
import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.errors import UserError

CUBE = np.random.default_rng(0).poisson(5, (5, 4, 70)).astype(np.uint16)  # rows, columns, channels
ENERGY = 0.5 + 0.02 * np.arange(70)


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.nxs", "w", locking=False) as file:
        yield file


def group(file, path, axes, cube=CUBE, name="counts"):
    """An NXdata group whose dimensions are named."""
    made = file.create_group(path)
    made.attrs.update({"NX_class": "NXdata", "signal": name, "axes": axes})
    made[name] = cube
    return made


def read(file, **options):
    file.flush()
    return read_cube(file.filename, **options)


def test_signal_and_axes_settle_everything(file, capsys):
    made = group(file, "entry/data", ["energy", "y", "x"], CUBE.transpose(2, 0, 1))
    made["energy"] = ENERGY
    made["energy"].attrs["units"] = "keV"
    file["entry/raw/data"] = np.zeros((50, 60, 70))  # larger, and with a usual name
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_array_equal(cube.axis.values, ENERGY)
    assert capsys.readouterr().err == ""


def test_columns_before_rows(file):
    made = group(file, "data", [b"stage_x", b"stage_y", b"Energy"], CUBE.transpose(1, 0, 2))
    made["Energy"] = ENERGY * 1000
    made["Energy"].attrs["units"] = "eV"
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.values, ENERGY)


def test_links_and_borders_of_channels(file):
    file["instrument/detector/data"] = CUBE
    made = file.create_group("entry/plot")
    made.attrs.update({"NX_class": "NXdata", "signal": "linked", "axes": [".", ".", "wavelength"]})
    made["linked"] = h5py.SoftLink("/instrument/detector/data")
    made["wavelength"] = 400 + 5 * (np.arange(71) - 0.5)
    made["wavelength"].attrs["units"] = "nm"
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.values, 400 + 5 * np.arange(70))


@pytest.mark.parametrize("on_signal", [True, False])
def test_files_from_before_2014(file, on_signal):
    made = file.create_group("entry/data")
    made.attrs["NX_class"] = "NXdata"
    made["img"] = CUBE.transpose(2, 0, 1)
    made["img"].attrs["signal"] = 1
    for name in ("energy", "y", "x"):
        made[name] = ENERGY if name == "energy" else np.arange(5 if name == "y" else 4)
    made["energy"].attrs["units"] = "keV"
    if on_signal:
        made["img"].attrs["axes"] = "energy:y:x"
    else:
        for dim, name in enumerate(("energy", "y", "x")):
            made[name].attrs["axis"] = dim + 1
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_array_equal(cube.axis.values, ENERGY)


def test_the_default_counts_and_another_can_be_named(file, capsys):
    group(file, "entry/a", [".", ".", "channel"], np.zeros((9, 9, 90)))
    group(file, "entry/b", [".", ".", "channel"])
    with read(file) as cube:
        assert cube.shape == (9, 9, 90)
    assert "took 'entry/a' (9, 9, 90) (others: entry/b)" in capsys.readouterr().err
    file.attrs["default"] = "entry"
    file["entry"].attrs["default"] = "b"
    with read(file) as cube:
        assert cube.shape == (5, 4, 70)
    for name in ("entry/a", "entry/a/counts"):
        with read(file, dataset=name) as cube:
            assert cube.shape == (9, 9, 90)


def test_a_default_that_runs_in_a_circle_or_nowhere(file):
    made = group(file, "entry/a", [".", ".", "channel"])
    file.attrs["default"] = "entry"
    file["entry"].attrs["default"] = "a"
    made.attrs["default"] = "/entry"
    with read(file) as cube:
        assert cube.shape == (5, 4, 70)
    made.attrs["default"] = "lost"
    with read(file) as cube:
        assert cube.shape == (5, 4, 70)


def test_a_plot_without_a_cube_does_not_hide_the_cube(file):
    group(file, "entry/spectrum", ["energy"], np.zeros(70))
    file["entry/img"] = CUBE
    with read(file, spectral_dim=2) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


def test_detectors_of_a_nexus_file(file):
    four = np.stack([CUBE, 2 * CUBE], axis=2)
    made = group(file, "entry/a", [".", ".", "detector", "energy"], four)
    made["energy"] = ENERGY
    made["energy"].attrs["units"] = "keV"
    with read(file, detector=1) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), 2 * CUBE)
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), 3 * CUBE)


def test_a_hyperspy_file(file, capsys):
    made = file.create_group("Experiments/map")
    made["data"] = CUBE.transpose(2, 0, 1)
    axes = [("Energy", 70, 0.02, 0.5, "keV", False), ("y", 5, 1, 0, "um", True), ("x", 4, 1, 0, "um", True)]
    for dim, (name, size, scale, offset, units, navigate) in enumerate(axes):
        made.create_group(f"axis-{dim}").attrs.update(
            {"name": name, "size": size, "scale": scale, "offset": offset, "units": units, "navigate": navigate}
        )
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.values, ENERGY)
        assert cube.axis.unit == "keV"
    assert capsys.readouterr().err == ""


def test_maps_file_after_processing(file):
    """APS writes the summed detectors to MAPS/mca_arr, channels first, with the energies beside them."""
    file["MAPS/mca_arr"] = CUBE.transpose(2, 0, 1)
    file["MAPS/energy"] = ENERGY
    file["MAPS/XRF_roi"] = np.zeros((30, 50, 40))
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_array_equal(cube.axis.values, ENERGY)
        assert cube.axis.unit == "keV"


def nexus(file, cube, axes, sets=(), on_group=(), on_signal=()):
    """A plot whose axes are named as `axes`; `sets` are (name, values, unit)."""
    made = group(file, "entry/plot", axes, cube, "data")
    made.attrs.update(dict(on_group))
    made["data"].attrs.update(dict(on_signal))
    for name, values, unit in sets:
        made[name] = values
        if unit:
            made[name].attrs["units"] = unit
    return made


PLACES = [("y", np.arange(60.0), "mm"), ("x", np.arange(256.0), "mm")]
MAP = np.random.default_rng(1).poisson(4, (60, 256, 100)).astype(np.uint32)
KEV = np.linspace(0.1, 20, 100)


@pytest.mark.parametrize("where", ["on_group", "on_signal"])
def test_interpretation_spectrum(file, where):
    nexus(file, MAP, ["y", "x", "."], PLACES, **{where: {"interpretation": "spectrum"}})
    with read(file) as cube:
        assert cube.shape == (60, 256, 100)


def test_interpretation_image_is_a_stack_of_images(file):
    nexus(file, MAP.transpose(2, 0, 1), [".", ".", "."], on_signal={"interpretation": "image"})
    with read(file) as cube:
        assert cube.shape == (60, 256, 100)


@pytest.mark.parametrize("indices", [{}, {"mca_energy_indices": 2}, {"mca_energy_indices": np.array([2])}])
def test_fewer_axes_than_dimensions_are_those_of_the_last(file, indices):
    nexus(file, MAP, ["mca_energy"], [("mca_energy", KEV, "keV")], on_group=indices)
    with read(file) as cube:
        assert cube.shape == (60, 256, 100)
        np.testing.assert_allclose(cube.axis.values, KEV)


def test_indices_place_an_axis(file):
    nexus(file, MAP.transpose(2, 0, 1), ["energy"], [("energy", KEV, "keV")], on_group={"energy_indices": 0})
    with read(file) as cube:
        assert cube.shape == (60, 256, 100)
        np.testing.assert_array_equal(cube.read_rows(0, 60), MAP)


def test_names_that_say_energy_outrank_units(file):
    """Stage positions in nanometres are no wavelengths, and the energies of the beam are not those of the channels."""
    sets = [("stage_y", np.arange(60.0), "nm"), ("u", np.arange(256.0), "nm"), ("Energy", KEV * 1000, "eV")]
    nexus(file, MAP, ["stage_y", "u", "Energy"], sets)
    with read(file) as cube:
        assert cube.shape == (60, 256, 100)
        assert cube.axis.unit == "keV"


def test_a_stage_in_nanometres_alone_is_no_wavelength(file, capsys):
    nexus(
        file,
        MAP,
        ["sample_y", "sample_x", "."],
        [("sample_y", np.arange(60.0), "nm"), ("sample_x", np.arange(256.0), "nm")],
    )
    with read(file) as cube:
        assert cube.shape[:1] == (60,)
        assert cube.axis.unit == "channel"


def test_two_numbers_are_a_straight_line(file):
    nexus(file, MAP, [".", ".", "energy"], [("energy", np.array([0.5, 0.02]), "keV")])
    with read(file) as cube:
        np.testing.assert_allclose(cube.axis.values, 0.5 + 0.02 * np.arange(100))


def test_an_axis_of_the_wrong_length_says_both(file):
    nexus(file, MAP, [".", ".", "energy"], [("energy", KEV[:90], "keV")])
    with pytest.raises(UserError, match=r"90 positions in 'energy', the cube has 100 channels.*--axis"):
        read(file)
    with read(file, axis="channel") as cube:
        assert cube.shape == (60, 256, 100)


def test_colour_pictures_are_no_plots(file):
    picture = np.zeros((200, 300, 3), np.uint8)
    made = group(file, "entry/a", [".", ".", "."], picture)
    made["counts"].attrs["interpretation"] = "rgb-image"
    file["entry/img"] = CUBE
    with read(file, spectral_dim=2) as cube:
        assert cube.shape == (5, 4, 70)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 60, 2048), (1, 60, 2048)), ((40, 50, 1, 2048), (40, 50, 2048)), ((1, 60, 4, 2048), (1, 60, 2048))],
)
@pytest.mark.parametrize("place", ["instrument/monochromator/energy", "scan/energy", "energy"])
def test_the_energy_of_the_beam_is_no_axis(file, shape, expected, place):
    file["xrf/counts"] = np.ones(shape, np.uint16)
    file[place] = np.array([17.5])
    file[place].attrs["units"] = "keV"
    with read(file) as cube:
        assert cube.shape == expected
        assert cube.axis.unit == "channel"


@pytest.mark.parametrize("length", [60, 256])
def test_an_equal_length_elsewhere_is_chance(file, capsys, length):
    """The beam's energies of 60 scans, beside a map of 60 rows and a detector with 2,048 channels."""
    file["xrf/counts"] = np.ones((60, 256, 2048), np.uint16)
    file["scans/energy"] = np.linspace(7, 8, length)
    with read(file) as cube:
        assert cube.shape == (60, 256, 2048)
        assert cube.axis.unit == "channel"
    assert "--spectral_dim" in capsys.readouterr().err


def test_wavelengths_elsewhere_are_used_and_said(file, capsys):
    file["radiance"] = np.ones((512, 217, 80), np.float32)
    file["sensor/wavelengths"] = np.linspace(400, 2500, 80)
    file["sensor/wavelengths"].attrs["units"] = "nanometers"
    with read(file) as cube:
        assert cube.shape == (512, 217, 80)
        assert cube.axis.unit == "nm"
    assert "took 'sensor/wavelengths' as the spectral axis" in capsys.readouterr().err


@pytest.mark.parametrize("scale", [True, False])
def test_labels_and_scales_of_hdf5(file, scale):
    """As the camera of a SPARC microscope writes a cube: channel, time, depth, rows, columns."""
    data = file.create_dataset("a/Image", data=np.moveaxis(CUBE, 2, 0)[:, None, None])
    data.attrs["DIMENSION_LABELS"] = ["C", "T", "Z", "Y", "X"]
    if scale:
        file["a/DimensionScaleC"] = np.linspace(400e-9, 800e-9, 70)
        file["a/DimensionScaleC"].attrs["UNIT"] = "m"
        file["a/DimensionScaleC"].make_scale("C")
        data.dims[0].attach_scale(file["a/DimensionScaleC"])
    file["Preview/Image"] = np.zeros((99, 99, 3), np.uint8)
    file["Preview/Image"].attrs["IMAGE_SUBCLASS"] = np.bytes_("IMAGE_TRUECOLOR")
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        if scale:
            np.testing.assert_allclose(cube.axis.to("nm").values, np.linspace(400, 800, 70))


def test_netcdf_dimensions_name_the_wavelengths_of_another_group(file, capsys):
    """EMIT: the dimension `bands` is shared by the cube and by the list of wavelengths."""
    cube = np.ones((20, 70, 70), np.float32)
    file["reflectance"] = cube
    for dim, (name, length) in enumerate([("downtrack", 20), ("bands", 70), ("crosstrack", 70)]):
        file[name] = np.zeros(length, np.float32)
        file[name].make_scale("This is a netCDF dimension but not a netCDF variable.        70")
        file["reflectance"].dims[dim].attach_scale(file[name])
    file["sensor_band_parameters/wavelengths"] = np.linspace(381, 2493, 70)
    file["sensor_band_parameters/wavelengths"].attrs["units"] = "nm"
    file["sensor_band_parameters/wavelengths"].dims[0].attach_scale(file["bands"])
    with read(file) as found:
        assert found.shape == (20, 70, 70)
        assert found.layout.spectral == 1
        assert found.axis.unit == "nm"
    assert "spectral_dim" not in capsys.readouterr().err


def hyperspy(file, axes, cube=CUBE):
    made = file.create_group("Experiments/map")
    made["data"] = cube
    for dim, axis in enumerate(axes):
        inner = made.create_group(f"axis-{dim}")
        for key, value in axis.items():
            if isinstance(value, dict):
                inner.create_group(key).attrs.update(value)
            elif isinstance(value, np.ndarray):
                inner[key] = value
            else:
                inner.attrs[key] = value


NAVIGATE = [{"name": n, "size": s, "navigate": True, "units": "um", "scale": 1.0} for n, s in (("y", 5), ("x", 4))]


def test_hyperspy_axes_that_are_not_uniform(file):
    wavelengths = 1239.84 / np.linspace(4.0, 1.2, 70)
    hyperspy(
        file, [*NAVIGATE, {"name": "Wavelength", "size": 70, "units": "nm", "navigate": False, "axis": wavelengths}]
    )
    with read(file) as cube:
        np.testing.assert_allclose(cube.axis.to("nm").values, wavelengths)


def test_hyperspy_axes_that_are_functions(file):
    axis = {
        "name": "Energy",
        "size": 70,
        "units": "eV",
        "navigate": False,
        "expression": "a * x ** 2 + b",
        "a": 2.0,
        "b": 100.0,
    }
    hyperspy(file, [*NAVIGATE, axis | {"x": {"offset": 1.0, "scale": 0.5, "size": 70}}])
    with read(file) as cube:
        np.testing.assert_allclose(cube.axis.values, (2 * (1 + 0.5 * np.arange(70)) ** 2 + 100) / 1000)


@pytest.mark.parametrize("formula", ["__import__('os').system('true')", "a.b", "x ** (", "f(x)", "x if x else 1", "q"])
def test_formulas_that_are_none(file, formula):
    hyperspy(file, [*NAVIGATE, {"name": "E", "size": 70, "navigate": False, "expression": formula}])
    with pytest.raises(UserError, match="formula"):
        read(file)


def test_an_open_emd_file(tmp_path):
    """NCEM's EMD: data with dim1, dim2, ... beside them, energies first."""
    path = tmp_path / "eels.emd"
    with h5py.File(path, "w") as emd:
        emd.attrs["version_major"], emd.attrs["version_minor"] = 0, 2
        made = emd.create_group("experiment/si")
        made.attrs["emd_group_type"] = 1
        made["data"] = CUBE.transpose(2, 0, 1)
        for i, (name, unit, values) in enumerate(
            [
                ("Energy loss", "eV", 300 + 0.5 * np.arange(70)),
                ("y", "nm", np.arange(5.0)),
                ("x", "nm", np.arange(4.0)),
            ],
            1,
        ):
            made[f"dim{i}"] = values
            made[f"dim{i}"].attrs.update(name=name, units=unit)
    with read_cube(path) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.values, 0.3 + 0.0005 * np.arange(70))


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("motors/axis", np.arange(60.0), "mm"),
        ("xrf/axis", np.arange(60.0), "mm"),
        ("xrf/energy", np.full(60, 17.5), "keV"),  # of the beam, row by row
        ("scans/energy", np.linspace(7, 8, 60), "keV"),
        ("scans/axis", np.linspace(7, 8, 60), None),
    ],
)
@pytest.mark.parametrize("channels", [100, 2048])
def test_what_is_as_long_as_the_rows_is_no_spectral_axis(file, capsys, name, values, unit, channels):
    file["xrf/counts"] = np.ones((60, 80, channels), np.uint8)
    file[name] = values
    if unit:
        file[name].attrs["units"] = unit
    with read(file) as cube:
        assert cube.shape == (60, 80, channels)
        assert cube.axis.unit == "channel"
    assert "--spectral_dim" in capsys.readouterr().err


def test_energies_beside_the_cube_settle_it(file, capsys):
    file["xrf/counts"] = np.ones((100, 300, 80), np.uint8)
    file["xrf/energy"] = np.linspace(1, 20, 100)
    file["xrf/energy"].attrs["units"] = "keV"
    with read(file) as cube:
        assert cube.shape == (300, 80, 100)
        assert cube.axis.unit == "keV"


def test_units_of_ncem_in_brackets(tmp_path):
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.attrs.update(version_major=0, version_minor=2)
        made = file.create_group("data/map")
        made.attrs["emd_group_type"] = 1
        made["data"] = CUBE.transpose(1, 0, 2)
        for dim, (name, unit, values) in enumerate(
            [("x", "[n_m]", np.arange(4.0)), ("y", "[n_m]", np.arange(5.0)), ("Energy", "[e_V]", 1000 * ENERGY)], 1
        ):
            made[f"dim{dim}"] = values
            made[f"dim{dim}"].attrs.update(name=name, units=unit)
    with read_cube(tmp_path / "a.emd") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.to("keV").values, ENERGY)


def shared(file, array, dim, name, values, **attributes):
    """A list of values on the dimension of an array, which itself has none, as netCDF-4 writes it."""
    file[name] = values
    file[name].attrs.update(attributes)
    file[name].dims[0].attach_scale(array.dims[dim][0])


def test_wavelengths_are_those_of_the_dimension_that_they_share(file):
    """PACE's OCI has lists of several detectors in one group, two of them of one length here."""
    for colour, first in (("blue", 310.0), ("red", 600.0)):
        array = file.create_dataset(f"observation_data/rhot_{colour}", data=CUBE.transpose(2, 0, 1) * (1.0 + first))
        file[f"{colour}_bands"] = np.zeros(70, np.float32)
        file[f"{colour}_bands"].make_scale("This is a netCDF dimension but not a netCDF variable.        70")
        array.dims[0].attach_scale(file[f"{colour}_bands"])
        band = np.linspace(first, first + 280, 70)
        shared(file, array, 0, f"sensor_band_parameters/{colour}_wavelength", band, units="nm")
        shared(file, array, 0, f"sensor_band_parameters/{colour}_solar_irradiance", np.linspace(1, 2, 70))
    with read(file, dataset="observation_data/rhot_red") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE * 601.0)
        np.testing.assert_allclose(cube.axis.to("nm").values, np.linspace(600, 880, 70))


def test_channels_that_are_not_good_are_left_out_as_emit_says(file, capsys):
    file["reflectance"] = CUBE.astype(np.float32)
    file["bands"] = np.zeros(70, np.float32)
    file["bands"].make_scale("This is a netCDF dimension but not a netCDF variable.        70")
    file["reflectance"].dims[2].attach_scale(file["bands"])
    good = np.ones(70)
    good[30:40] = 0
    shared(file, file["reflectance"], 2, "sensor/wavelengths", np.linspace(400, 2500, 70), units="nm")
    shared(file, file["reflectance"], 2, "sensor/good_wavelengths", good)
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE[..., good == 1])
        np.testing.assert_allclose(cube.axis.to("nm").values, np.linspace(400, 2500, 70)[good == 1])
    assert "left out 10 of 70 channels, which the file marks as bad" in capsys.readouterr().err


@pytest.mark.parametrize("owner", ["dataset", "group", "file"])
@pytest.mark.parametrize("text", [False, True])
def test_wavelengths_in_an_attribute(file, owner, text):
    made = file.create_dataset("scan/cube", data=CUBE.transpose(2, 0, 1))
    values = np.linspace(400, 700, 70)
    owned = {"dataset": made, "group": made.parent, "file": file}[owner]
    owned.attrs["wavelengths"] = ", ".join(map(str, values)) if text else values
    owned.attrs["wavelength_units"] = "nm"
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.to("nm").values, values)


def test_an_attribute_of_two_wavelengths_is_a_range_and_no_axis(file):
    made = file.create_dataset("cube", data=CUBE)
    made.attrs["wavelength"] = [400.0, 700.0]
    with read(file) as cube:
        assert cube.axis.unit == "channel"


@pytest.mark.parametrize("level", [1, 2])
def test_prisma(tmp_path, level):
    """Bands in the middle, wavelengths that fall, bands without one, and the scales of both levels."""
    numbers = np.random.default_rng(1).integers(0, 65536, (40, 66, 40)).astype(np.uint16)
    listed = np.linspace(1010, 402, 66)
    listed[:3] = 0
    path = tmp_path / "PRS.he5"
    with h5py.File(path, "w") as file:
        fields = file.create_group(f"HDFEOS/SWATHS/PRS_L{level}_HCO/Data Fields")
        fields["VNIR_Cube"] = numbers
        fields["SWIR_Cube"] = np.zeros((40, 60, 40), np.uint16)
        file.attrs["List_Cw_Vnir"] = listed
        if level == 1:
            file.attrs.update(ScaleFactor_Vnir=100.0, Offset_Vnir=0.5)
        else:
            file.attrs.update(L2ScaleVnirMin=0.01, L2ScaleVnirMax=0.91)
    with read_cube(path, dataset=f"HDFEOS/SWATHS/PRS_L{level}_HCO/Data Fields/VNIR_Cube") as cube:
        assert cube.shape == (40, 40, 63)
        np.testing.assert_allclose(cube.axis.to("nm").values, listed[3:])
        expected = numbers / 100.0 - 0.5 if level == 1 else 0.01 + numbers / 65535 * 0.9
        np.testing.assert_allclose(cube.read_rows(0, 40), expected.transpose(0, 2, 1)[..., 3:], rtol=1e-5)


def test_energies_of_the_beam_and_of_the_detector(file):
    """Spectra over a scan of the beam's energy: only the detector's channels are the spectral dimension."""
    scan = np.stack([CUBE, CUBE + 1, CUBE + 2])
    made = group(file, "entry/data", ["energy", "y", "x", "mca_energy"], scan)
    for name, values in (("energy", np.array([7.0, 7.1, 7.2])), ("mca_energy", ENERGY)):
        made[name] = values
        made[name].attrs["units"] = "keV"
    with read(file, detector=1) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE + 1)
        np.testing.assert_allclose(cube.axis.values, ENERGY)


def test_wavelengths_go_before_numbers_of_bands(file):
    """netCDF-4 with bands that are only numbered, and their wavelengths over the same dimension."""
    file["r"] = CUBE.transpose(2, 0, 1)
    for dim, (name, length) in enumerate((("band", 70), ("y", 5), ("x", 4))):
        file[name] = np.arange(1.0, length + 1)
        file[name].make_scale(name)
        file["r"].dims[dim].attach_scale(file[name])
    shared(file, file["r"], 0, "wavelength", np.linspace(400, 900, 70), units="nm")
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.to("nm").values, np.linspace(400, 900, 70))


@pytest.mark.parametrize("place", ["calibration", "info/calibration", "../info/calibration"])
@pytest.mark.parametrize("channels", [None, np.arange(1, 71)])
def test_the_calibration_of_pymca(file, place, channels, capsys):
    file["scan/mca_0/det/spectra"] = CUBE
    where = {"..": "scan/mca_0/info/"}.get(place[:2], "scan/mca_0/det/" + place.removesuffix("calibration"))
    file[where + "calibration"] = [-0.01, 0.02, 1e-6]
    if channels is not None:
        file[where + "channels"] = channels
    i = np.arange(70) if channels is None else channels
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        assert cube.axis.unit == "keV"
        np.testing.assert_allclose(cube.axis.values, -0.01 + 0.02 * i + 1e-6 * i**2)
    assert "took the energies -0.01 + 0.02 i" in capsys.readouterr().err


@pytest.mark.parametrize("numbers", [[0.0, 1.0, 0.0], [0.0, -0.02, 0.0], [0.0, np.nan], np.ones(70)])
def test_calibrations_that_are_none(file, numbers):
    file["spectra"] = CUBE
    file["calibration"] = numbers
    with read(file) as cube:
        assert cube.axis.unit == "channel"
