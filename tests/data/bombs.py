"""Small files that ask for huge memory, each as one fault or one attacker would write it."""

import io
import struct
import zipfile
import zlib
from importlib.util import find_spec

import h5py
import numpy as np
from astropy.io import fits

CUBE = np.random.default_rng(0).poisson(5, (4, 5, 70)).astype(np.uint16)
HUGE = 10**12
CHUNK = (2**20,)


def npy_header(shape, dtype="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + bytes(64)


def npy(shape, dtype="<f8"):
    def write(folder):
        (folder / "a.npy").write_bytes(npy_header(shape, dtype))
        return folder / "a.npy"

    return write


def npz(**members):
    def write(folder):
        with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(f"{name}.npy", content)
        return folder / "a.npz"

    return write


def whole_npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def hdf5(fill, name="a.h5"):
    def write(folder):
        with h5py.File(folder / name, "w") as file:
            fill(file)
        return folder / name

    return write


def _own(file, axis=70, mask=(4, 5)):
    file.attrs["deepspec_cube"] = 1
    file["img"] = CUBE
    file.create_dataset("axis", (axis,), "f8", chunks=(min(axis, *CHUNK),))
    if axis == 70:
        file["axis"][:] = np.arange(70.0)
    file["axis"].attrs["unit"] = "keV"
    file.create_dataset("mask", mask, bool, chunks=tuple(min(n, 1000) for n in mask))


def _nexus(file):
    group = file.create_group("entry")
    group.attrs.update(NX_class="NXdata", signal="counts", axes=["y", "x", "energy"])
    group["counts"] = CUBE
    group.create_dataset("energy", (HUGE,), "f8", chunks=CHUNK)


def _hyperspy(file):
    group = file.create_group("Experiments/map")
    group["data"] = CUBE
    for dim, (name, size) in enumerate(zip(("y", "x", "Energy"), CUBE.shape, strict=True)):
        group.create_group(f"axis-{dim}").attrs.update(name=name, units="keV", size=size, navigate=dim < 2)
    group["axis-2"].create_dataset("axis", (HUGE,), "f8", chunks=CHUNK)


def _scale(file):
    file["img"] = CUBE
    scale = file.create_dataset("wavelengths", (HUGE,), "f4", chunks=CHUNK)
    scale.make_scale("wavelengths")
    file["img"].dims[2].attach_scale(scale)


def _beside(file):
    file["img"] = CUBE
    file.create_dataset("energy", (HUGE,), "f8", chunks=CHUNK)


def _one_chunk_written(file):
    made = file.create_dataset("img", (10**4, 10**4, 10**4), "f8", chunks=(1, 1, 10**4))
    made[0, 0] = 1.0


def fits_unit(*cards):
    return fits.Header(cards).tostring().encode() + bytes(2880)


def fits_beside(extension):
    def write(folder):
        path = folder / "a.fits"
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(CUBE, name="DATA")]).writeto(path)
        path.write_bytes(path.read_bytes() + extension)
        return path

    return write


def fits_alone(*cards):
    def write(folder):
        (folder / "a.fits").write_bytes(fits_unit(("SIMPLE", True), *cards))
        return folder / "a.fits"

    return write


def fits_tiles(*keys):
    def write(folder):
        path = folder / "a.fits"
        image = fits.CompImageHDU(data=np.ones((4, 50, 60), np.int16), name="DATA")
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
        content = path.read_bytes()
        for key in keys:
            place = content.find(f"{key:8}=".encode()) + 10
            content = content[:place] + b"%20d" % 100_000 + content[place + 20 :]
        path.write_bytes(content)
        return path

    return write


MATLAB_HEAD = b"MATLAB 5.0 MAT-file".ljust(124, b" ") + struct.pack("<H", 0x100) + b"IM"


def matlab_variable(name, shape):
    """A compressed variable of doubles that ends after 64 bytes of its values."""
    size = min(8 * int(np.prod(shape, dtype=np.float64)), 2**32 - 1024)
    dims = struct.pack(f"<{len(shape)}i", *shape)
    dims += bytes(-len(dims) % 8)
    body = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<II", 5, 4 * len(shape)) + dims
    body += struct.pack("<II", 1, len(name)) + name.encode() + bytes(-len(name) % 8) + struct.pack("<II", 9, size)
    packed = zlib.compress(struct.pack("<II", 14, len(body) + size) + body + bytes(64))
    return struct.pack("<II", 15, len(packed)) + packed


def matlab(*variables):
    def write(folder):
        path = folder / "a.mat"
        path.write_bytes(MATLAB_HEAD + b"".join(matlab_variable(*variable) for variable in variables))
        return path

    return write


def tiff(pages=4, side=60_000):
    """Pages of one strip each, deflated, that is said to hold billions of pixels."""

    def write(folder):
        packed = zlib.compress(bytes(1000))
        content = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed
        for page in range(pages):
            tags = [
                (256, 4, side), (257, 4, side), (258, 3, 16), (259, 3, 8), (262, 3, 1), (273, 4, 8), (277, 3, 1),
                (278, 4, side), (279, 4, len(packed)),
            ]  # fmt: skip
            after = len(content) + 2 + 12 * len(tags) + 4
            content += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in tags)
            content += struct.pack("<I", after if page < pages - 1 else 0)
        (folder / "a.tif").write_bytes(content)
        return folder / "a.tif"

    return write


def text(name, content, more=None):
    def write(folder):
        if more is not None:
            (folder / "a.raw").write_bytes(more)
        (folder / name).write_text(content)
        return folder / name

    return write


def png(side=200_000):
    def part(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def write(folder):
        head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        body = part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(1000))) + part(b"IEND", b"")
        (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        return folder / "a.png"

    return write


_ENVI = (
    "ENVI\nsamples = 100000\nlines = 100000\nbands = 100\nheader offset = 0\ndata type = 5\ninterleave = bsq\n"
    "byte order = 0\n"
)
_RIPPLE = (
    "key\tvalue\nwidth\t100000\nheight\t100000\ndepth\t1000\noffset\t0\ndata-length\t8\ndata-type\tfloat\n"
    "byte-order\tlittle-endian\nrecord-by\tvector\n"
)
_EMSA = (
    "#FORMAT      : EMSA/MAS Spectral Data File\n#VERSION     : 1.0\n#NPOINTS     : 1000000000000\n#NCOLUMNS    : 1\n"
    "#XUNITS      : keV\n#DATATYPE    : Y\n#XPERCHAN    : 0.02\n#OFFSET      : 0\n#SPECTRUM    : x\n1\n2\n"
    "#ENDOFDATA   :\n"
)
_EDF = (
    "{\nHeaderID = EH:000001:000000:000000 ;\nByteOrder = LowByteFirst ;\nDataType = DoubleValue ;\nDim_1 = 100000 ;\n"
    "Dim_2 = 100000 ;\nSize = 80000000000 ;\n".ljust(510)
    + "}\n"
    + 64 * "\0"
)

CUBES = {
    "NPY": npy((10**4, 10**4, 10**4)),
    "NPZ": npz(cube=npy_header((10**4, 10**4, 10**4))),
    "HDF5, nothing written": hdf5(lambda f: f.create_dataset("img", (10**4, 10**4, 10**4), "f8", chunks=(1, 1, 10**4))),
    "HDF5, one chunk written": hdf5(_one_chunk_written),
    "HDF5, own, axis": hdf5(lambda f: _own(f, axis=HUGE)),
    "HDF5, own, mask": hdf5(lambda f: _own(f, mask=(10**6, 10**6))),
    "HDF5, NeXus axis": hdf5(_nexus),
    "HDF5, HyperSpy axis": hdf5(_hyperspy, "a.hspy"),
    "FITS, NAXIS": fits_alone(("BITPIX", -64), ("NAXIS", 3), ("NAXIS1", 10**5), ("NAXIS2", 10**5), ("NAXIS3", 100)),
    "FITS, list": fits_beside(
        fits_unit(
            ("XTENSION", "IMAGE"), ("BITPIX", -64), ("NAXIS", 1), ("NAXIS1", HUGE), ("PCOUNT", 0), ("GCOUNT", 1),
            ("EXTNAME", "WAVE"),
        )
    ),
    "FITS, table": fits_beside(
        fits_unit(
            ("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 8), ("NAXIS2", HUGE), ("PCOUNT", 0),
            ("GCOUNT", 1), ("TFIELDS", 1), ("TTYPE1", "WAVE"), ("TFORM1", "D"),
        )
    ),
    "FITS, tiles": fits_tiles("ZNAXIS1", "ZNAXIS2", "ZNAXIS3"),
    "FITS, a tile": fits_tiles("ZNAXIS1", "ZNAXIS2", "ZTILE1", "ZTILE2"),
    "MATLAB": matlab(("Y", (500, 1000, 1000))),
    "ENVI": text("a.hdr", _ENVI, bytes(100)),
    "RPL": text("a.rpl", _RIPPLE, bytes(100)),
    "EMSA": text("a.msa", _EMSA),
    "SPE": text("a.spe", "$DATA:\n0 999999999999\n1\n2\n"),
    "EDF": text("a.edf", _EDF),
    "TIFF": tiff(),
}  # fmt: skip


def zarr_store(fill):
    def write(folder):
        import zarr

        fill(zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2))
        return folder / "a.zarr"

    return write


def _zarr_hyperspy(root):
    group = root.create_group("Experiments/map")
    group.create_array("data", data=CUBE)
    for dim, (name, size) in enumerate(zip(("y", "x", "Energy"), CUBE.shape, strict=True)):
        axis = group.create_group(f"axis-{dim}")
        axis.attrs.update({"name": name, "units": "keV", "size": size, "navigate": dim < 2})
    group["axis-2"].create_array("axis", shape=(HUGE,), chunks=CHUNK, dtype="f8")


def _zarr_labels(root):
    root.create_array("counts", data=CUBE).attrs["_ARRAY_DIMENSIONS"] = ["y", "x", "energy"]
    root.create_array("energy", shape=(HUGE,), chunks=CHUNK, dtype="f8")


def _zarr_one_chunk(root):
    root.create_array("counts", shape=(10**4, 10**4, 10**4), chunks=(10**4, 10**4, 10**4), dtype="f8")


if find_spec("zarr") is not None:  # an extra
    CUBES |= {
        "zarr, a chunk": zarr_store(_zarr_one_chunk),
        "zarr, HyperSpy axis": zarr_store(_zarr_hyperspy),
        "zarr, axis": zarr_store(_zarr_labels),
    }
MASKS = {
    "NPY": npy((10**6, 10**6), "|u1"),
    "NPZ": npz(mask=npy_header((10**6, 10**6), "|u1")),
    "HDF5": hdf5(lambda f: f.create_dataset("mask", (10**6, 10**6), "u1", chunks=(1000, 1000))),
    "FITS": fits_alone(("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 10**6), ("NAXIS2", 10**6)),
    "MATLAB": matlab(("mask", (20_000, 20_000))),
    "PNG": png(),
    "segmentation": hdf5(
        lambda f: (
            f.attrs.update(format="deepspec-segmentation", version=1),
            f.create_dataset("labels", (10**6, 10**6), "i2", chunks=(1000, 1000)),
        )
    ),
}
HARMLESS = {  # a list of another length beside a cube, which does not describe it
    "HDF5": hdf5(_beside),
    "NPZ": npz(cube=whole_npy(CUBE), energy=npy_header((HUGE,))),
}
