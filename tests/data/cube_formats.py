"""One writer per format, each by another library than the readers under test use, or by hand from the format's text."""

import zipfile

import h5py
import numpy as np
import scipy.io
import tifffile
from astropy.io import fits

from deepspec.data.cube import SpectralCube

ENVI_TYPES = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13, "i8": 14, "u8": 15}


def hdf5(stem, cube):
    path = stem.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        file["scan/img"] = cube
    return path


def chunked(stem, cube):
    path = stem.with_suffix(".hdf5")
    with h5py.File(path, "w") as file:
        file.create_dataset("scan/img", data=cube, chunks=(1, *cube.shape[1:]), compression="gzip")
    return path


def nexus(stem, cube):
    path = stem.with_suffix(".nxs")
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "entry"
        file.create_group("entry").attrs.update({"NX_class": "NXentry", "default": "map"})
        group = file.create_group("entry/map")
        group.attrs.update({"NX_class": "NXdata", "signal": "fluorescence", "axes": ["energy", "y", "x"]})
        group["fluorescence"] = cube.transpose(2, 0, 1)
        group["energy"] = 100 + 10.0 * np.arange(cube.shape[2])
        group["energy"].attrs["units"] = "eV"
    return path


def hyperspy(stem, cube):
    path = stem.with_suffix(".hspy")
    with h5py.File(path, "w") as file:
        group = file.create_group("Experiments/map")
        group["data"] = cube
        for dim, (name, units) in enumerate([("y", "um"), ("x", "um"), ("Energy", "keV")]):
            axis = group.create_group(f"axis-{dim}")
            axis.attrs.update(name=name, units=units, size=cube.shape[dim], navigate=dim < 2, offset=0.1, scale=0.02)
    return path


def netcdf(stem, cube):
    path = stem.with_suffix(".nc")
    with h5py.File(path, "w") as file:
        file["radiance"] = cube
        file["radiance"].attrs.update({"_FillValue": np.array([250], cube.dtype), "long_name": "radiance"})
        for dim, name in enumerate(("downtrack", "crosstrack", "bands")):
            file[name] = np.zeros(cube.shape[dim], np.float32)
            file[name].make_scale(f"This is a netCDF dimension but not a netCDF variable. {cube.shape[dim]:9d}")
            file["radiance"].dims[dim].attach_scale(file[name])
        file["sensor/wavelengths"] = np.linspace(400, 900, cube.shape[2])
        file["sensor/wavelengths"].attrs["units"] = "nm"
        file["sensor/wavelengths"].dims[0].attach_scale(file["bands"])
    return path


def linked(stem, cube):
    """A master file whose numbers lie in another one."""
    with h5py.File(stem.with_name("target.h5"), "w") as file:
        file["scan/mca"] = cube
    with h5py.File(stem.with_suffix(".h5"), "w") as file:
        file["entry/mca"] = h5py.ExternalLink("target.h5", "/scan/mca")
        file["again"] = h5py.SoftLink("/entry/mca")
    return stem.with_suffix(".h5")


def fits_table(stem, cube):
    """Wavelengths in a table that the header's coordinates name."""
    image = np.ascontiguousarray(cube.transpose(2, 0, 1))
    channels = len(image)
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(
                "wavelength", f"{channels}D", "Angstrom", dim=f"(1,{channels})",
                array=(5000 + 3.0 * np.arange(channels) ** 1.1).reshape(1, channels, 1),
            )
        ],
        name="WCS-TABLE",
    )  # fmt: skip
    header = fits.Header(
        {
            "CTYPE3": "WAVE-TAB", "CUNIT3": "Angstrom", "CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 1.0,
            "PS3_0": "WCS-TABLE", "PS3_1": "wavelength", "PV3_1": 1, "PV3_2": 1, "PV3_3": 1,
        }
    )  # fmt: skip
    units = [fits.PrimaryHDU(), fits.ImageHDU(image, header, "SCI"), table]
    fits.HDUList(units).writeto(stem.with_suffix(".fits"))
    return stem.with_suffix(".fits")


def edf(stem, cube):
    kinds = {"u1": "UnsignedByte", "u2": "UnsignedShort", "i2": "SignedShort", "i4": "SignedInteger"}
    kinds |= {"f4": "FloatValue", "f8": "DoubleValue"}
    content = b""
    for line in cube:
        fields = {"ByteOrder": "LowByteFirst", "DataType": kinds[f"{cube.dtype.kind}{cube.dtype.itemsize}"]}
        fields |= {"Dim_1": cube.shape[2], "Dim_2": cube.shape[1], "Size": line.nbytes, "MCA a": 0.0, "MCA b": 0.01}
        text = "{\n" + "".join(f"{key} = {value} ;\n" for key, value in fields.items())
        content += (text + " " * (-(len(text) + 2) % 512) + "}\n").encode() + np.ascontiguousarray(line).tobytes()
    stem.with_suffix(".edf").write_bytes(content)
    return stem.with_suffix(".edf")


def own(stem, cube):
    path = stem.with_suffix(".h5")
    SpectralCube.from_array(cube).save(path)
    return path


def npy(stem, cube):
    np.save(stem.with_suffix(".npy"), cube)
    return stem.with_suffix(".npy")


def npz(stem, cube):
    np.savez(stem.with_suffix(".npz"), counts=cube)
    return stem.with_suffix(".npz")


def npz_compressed(stem, cube):
    np.savez_compressed(stem.with_suffix(".npz"), counts=np.asfortranarray(cube))
    return stem.with_suffix(".npz")


def matlab(stem, cube):
    scipy.io.savemat(stem.with_suffix(".mat"), {"Y": cube})
    return stem.with_suffix(".mat")


def matlab_compressed(stem, cube):
    scipy.io.savemat(stem.with_suffix(".mat"), {"other": np.zeros(3), "Y": cube}, do_compression=True)
    return stem.with_suffix(".mat")


def fits_cube(stem, cube):
    fits.writeto(stem.with_suffix(".fits"), np.ascontiguousarray(cube.transpose(2, 0, 1)))
    return stem.with_suffix(".fits")


def envi(interleave, order="<", offset=0):
    def write(stem, cube):
        stored = cube.transpose({"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave])
        data = np.ascontiguousarray(stored, cube.dtype.newbyteorder(order)).tobytes()
        stem.with_suffix(".raw").write_bytes(b"\7" * offset + data)
        lines, samples, bands = cube.shape
        kind = ENVI_TYPES[f"{cube.dtype.kind}{cube.dtype.itemsize}"]
        stem.with_suffix(".hdr").write_text(
            f"ENVI\ndescription = {{made for\n a test}}\nsamples = {samples}\nlines   = {lines}\nbands   = {bands}\n"
            f"header offset = {offset}\nfile type = ENVI Standard\ndata type = {kind}\ninterleave = {interleave}\n"
            f"byte order = {int(order == '>')}\n"
        )
        return stem.with_suffix(".hdr")

    return write


def ripple(record_by, order="little-endian", offset=0):
    def write(stem, cube):
        height, width, depth = cube.shape
        stored = cube if record_by == "vector" else cube.transpose(2, 0, 1)
        dtype = cube.dtype.newbyteorder(">" if order == "big-endian" else "<")
        stem.with_suffix(".raw").write_bytes(b"\7" * offset + np.ascontiguousarray(stored, dtype).tobytes())
        kind = {"u": "unsigned", "i": "signed", "f": "float"}[cube.dtype.kind]
        stem.with_suffix(".rpl").write_text(
            f"key\tvalue\nwidth\t{width}\nheight\t{height}\ndepth\t{depth}\noffset\t{offset}\n"
            f"data-length\t{cube.dtype.itemsize}\t; bytes\ndata-type\t{kind}\nbyte-order\t{order}\n"
            f"record-by\t{record_by}\n"
        )
        return stem.with_suffix(".rpl")

    return write


def emsa(stem, cube):
    """Only the first spectrum: the format holds one."""
    spectrum = cube[0, 0]
    lines = [", ".join(f"{value:.1f}" for value in spectrum[i : i + 4]) + "," for i in range(0, len(spectrum), 4)]
    stem.with_suffix(".msa").write_text(
        f"#FORMAT      : EMSA/MAS Spectral Data File\n#VERSION     : 1.0\n#TITLE       : test\n"
        f"#NPOINTS     : {len(spectrum)}.\n#NCOLUMNS    : 4.\n#XUNITS      : keV\n#DATATYPE    : Y\n"
        f"#XPERCHAN    : 0.02\n#OFFSET      : -0.5\n#LIVETIME  -s: 12.5\n"
        f"#SPECTRUM    : Spectral Data Starts Here\n" + "\n".join(lines) + "\n#ENDOFDATA   : \n"
    )
    return stem.with_suffix(".msa")


def tiff_pages(stem, cube):
    path = stem.with_suffix(".tif")
    tifffile.imwrite(path, np.ascontiguousarray(cube.transpose(2, 0, 1)), photometric="minisblack", metadata=None)
    return path


def tiff_samples(stem, cube):
    tifffile.imwrite(
        stem.with_suffix(".tif"), cube, photometric="minisblack", planarconfig="contig", metadata=None, byteorder=">"
    )
    return stem.with_suffix(".tif")


def tiff_compressed(stem, cube):
    stack = np.ascontiguousarray(cube.transpose(2, 0, 1))
    tifffile.imwrite(stem.with_suffix(".tiff"), stack, photometric="minisblack", compression="zlib", metadata=None)
    return stem.with_suffix(".tiff")


def fits_tiles(kind):
    """An image that FITS packs tile by tile, with checksums of its data where `kind` ends in a plus."""

    def write(stem, cube):
        image = np.ascontiguousarray(cube.transpose(2, 0, 1)).astype(np.int16)
        tiles = {"tile_shape": (1, *image.shape[1:])} if kind.startswith("HCOMPRESS") else {}
        unit = fits.CompImageHDU(data=image, name="DATA", compression_type=kind.rstrip("+"), **tiles)
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(stem.with_suffix(".fits"), checksum=kind.endswith("+"))
        return stem.with_suffix(".fits")

    return write


def fits_summed(stem, cube):
    image = np.ascontiguousarray(cube.transpose(2, 0, 1)).astype(np.int32)
    listed = fits.ImageHDU(np.linspace(400.0, 700, len(image)), name="WAVE")
    units = [fits.PrimaryHDU(), fits.ImageHDU(image, name="DATA"), listed]
    fits.HDUList(units).writeto(stem.with_suffix(".fits"), checksum=True)
    return stem.with_suffix(".fits")


def tiff_tiles(stem, cube):
    stack = np.ascontiguousarray(cube.transpose(2, 0, 1))
    tifffile.imwrite(stem.with_suffix(".tif"), stack, photometric="minisblack", compression="zlib", tile=(16, 16))
    return stem.with_suffix(".tif")


def tiff_gdal(stem, cube):
    """One page of many samples, and GDAL's tag with a scale of 1 and a wavelength for each band."""
    items = "".join(
        f'<Item name="SCALE" sample="{band}" role="scale">1</Item>'
        f'<Item name="wavelength" sample="{band}">{wave} nm</Item>'
        for band, wave in enumerate(np.linspace(400, 700, cube.shape[2]).round(2))
    )
    tags = [(42112, 2, 0, f"<GDALMetadata>{items}</GDALMetadata>", True)]
    stack = np.ascontiguousarray(cube.transpose(2, 0, 1))
    options = {"planarconfig": "separate", "photometric": "minisblack", "metadata": None, "extratags": tags}
    tifffile.imwrite(stem.with_suffix(".tif"), stack, **options)
    return stem.with_suffix(".tif")


def fits_companions(stem, cube):
    """A cube with uncertainties, flags, wavelengths, and a table of borders."""
    image = np.ascontiguousarray(cube.transpose(2, 0, 1))
    line = fits.Header({"CTYPE3": "WAVE", "CUNIT3": "Angstrom", "CRVAL3": 5000.0, "CDELT3": 1.0, "CRPIX3": 1.0})
    positions = np.arange(len(image), dtype=float)
    borders = [fits.Column(n, "D", "keV", array=positions + i) for i, n in enumerate(("E_MIN", "E_MAX"))]
    units = [
        fits.PrimaryHDU(),
        fits.ImageHDU(image, line, "SCI"),
        fits.ImageHDU(image.astype(np.float32), name="ERR"),
        fits.ImageHDU(np.zeros(image.shape, np.uint8), name="DQ"),
        fits.ImageHDU(5000 + positions, fits.Header({"BUNIT": "Angstrom"}), "WAVE"),
        fits.BinTableHDU.from_columns(borders, name="EBOUNDS"),
    ]
    fits.HDUList(units).writeto(stem.with_suffix(".fits"))
    return stem.with_suffix(".fits")


def matlab_structure(stem, cube):
    content = {"scene": {"info": "x", "cube": cube, "wavelengths": np.linspace(400, 700, cube.shape[2])}}
    scipy.io.savemat(stem.with_suffix(".mat"), content, do_compression=True)
    return stem.with_suffix(".mat")


def attributes(stem, cube):
    """Wavelengths in an attribute of the array."""
    with h5py.File(stem.with_suffix(".h5"), "w") as file:
        file["cube"] = cube
        file["cube"].attrs.update(wavelengths=np.linspace(400, 700, cube.shape[2]), wavelength_units="nm")
    return stem.with_suffix(".h5")


WRITERS = {
    "HDF5": hdf5,
    "HDF5 gzip": chunked,
    "NeXus": nexus,
    "own": own,
    "NPY": npy,
    "NPZ": npz,
    "NPZ compressed": npz_compressed,
    "MATLAB": matlab,
    "MATLAB compressed": matlab_compressed,
    "FITS": fits_cube,
    "ENVI bsq": envi("bsq"),
    "ENVI bil": envi("bil", ">", 100),
    "ENVI bip": envi("bip"),
    "RPL vector": ripple("vector"),
    "RPL image": ripple("image", "big-endian", 64),
    "TIFF pages": tiff_pages,
    "TIFF samples": tiff_samples,
    "TIFF zlib": tiff_compressed,
    "EMSA": emsa,
    "HyperSpy": hyperspy,
    "EDF": edf,
    "FITS -TAB": fits_table,
}
PAIRS = tuple(name for name in WRITERS if name.startswith(("ENVI", "RPL")))
SINGLE = {"EMSA"}  # formats that hold one spectrum


def expected(name, cube):
    """What reading a written cube must give."""
    return cube[:1, :1] if name in SINGLE else cube


def data_file(path):
    """The file that holds the numbers."""
    return path.with_suffix(".raw") if path.suffix in (".hdr", ".rpl") else path


def rezip(path, member, content):
    """Replace one member of a ZIP file, with checksums that fit."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
