"""ShardWriter: blocks of spectra in, a folder of shuffled shards and its manifest out.

The hidden folder that a set of shards is written in, and what becomes of one that a killed writer left behind.

A writer holds a lock on its folder as long as it lives; the system releases it however the process ends. A folder that
nobody holds is a dead writer's: the next writer removes it and starts afresh.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.shards.format import CHUNK_ROWS, DTYPES, SpectraBlock, recut, write_shard
from deepspec.data.shards.manifest import MANIFEST, ShardEntry, ShardSet, write_manifest
from deepspec.data.shards.shuffle import ScatterShuffle, record_type, to_records
from deepspec.errors import UserError
from deepspec.files import flush_to_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.data.neighbours import NeighbourPairs


_PREFIX = ".partial-"
_JOURNAL = "publishing.json"
_OLD = "old"


class UnfinishedFolder:
    """A new hidden folder inside `out_dir` for what is not complete yet.

    Args:
        out_dir: where the set will be.
        manifest: name of the file that makes a set complete.

    Attributes:
        path: the folder.
    """

    def __init__(self, out_dir: Path, manifest: str) -> None:
        self._manifest = manifest
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=out_dir))
        self._handle = os.open(self.path, os.O_RDONLY)
        _lock(self._handle)
        try:
            _refuse_two(out_dir, self.path)
        except UserError:
            self.remove()
            raise

    def set_aside(self, old: Iterable[str], new: Iterable[str]) -> None:
        """Move the shards of an older set and its manifest into this folder, noting what is about to happen.

        A writer that dies from here on, before the new manifest is there, has changed nothing: see `_undo`.

        Args:
            old: shards of `out_dir` that the older set consists of.
            new: names that shards are about to get there.
        """
        old, out_dir = sorted(old), self.path.parent
        temporary = self.path / f"{_JOURNAL}.part"
        temporary.write_text(json.dumps({"old": old, "new": sorted(new)}), encoding="utf-8")
        os.replace(temporary, self.path / _JOURNAL)
        aside = self.path / _OLD
        aside.mkdir()
        for name in (self._manifest, *old):  # without its manifest a folder is no set
            if (out_dir / name).exists():
                os.replace(out_dir / name, aside / name)

    def remove(self) -> None:
        """Remove the folder with all that is in it, and the shards that got their names without a manifest."""
        if self._handle >= 0:
            _undo(self.path, self._manifest)
            os.close(self._handle)
            self._handle = -1


def clear_unfinished(out_dir: Path, manifest: str) -> None:
    """Remove what writers left in `out_dir` that were killed.

    A writer that died while it gave the shards their names leaves some of them without a manifest: these go too.

    Args:
        out_dir: an existing folder.
        manifest: name of the file that makes a set complete.

    Raises:
        UserError: if another process is writing there.
    """
    (out_dir / f".{manifest}.partial").unlink(missing_ok=True)  # of a version that wrote the manifest beside its place
    for folder in sorted(out_dir.glob(f"{_PREFIX}*")):
        handle = os.open(folder, os.O_RDONLY)
        try:
            if not _lock(handle):
                raise _two(out_dir, folder)
            _undo(folder, manifest)
        finally:
            os.close(handle)


def _refuse_two(out_dir: Path, own: Path) -> None:
    """Of two writers that began at the same moment let one go on, and the same one in the eyes of both."""
    for folder in sorted(out_dir.glob(f"{_PREFIX}*")):
        if folder < own:
            handle = os.open(folder, os.O_RDONLY)
            try:
                if not _lock(handle):
                    raise _two(out_dir, folder)
            finally:
                os.close(handle)


def _two(out_dir: Path, folder: Path) -> UserError:
    return UserError(
        f"{out_dir}: another process is writing shards here; wait for it, or remove {folder.name} if there is none"
    )


def _undo(folder: Path, manifest: str) -> None:
    """Remove a writer's folder; if it died while it gave its shards their names, put the older set back before."""
    journal, out_dir, aside = folder / _JOURNAL, folder.parent, folder / _OLD
    if journal.exists() and not (out_dir / manifest).exists():
        noted = json.loads(journal.read_text(encoding="utf-8"))
        if isinstance(noted, list):  # of a version that removed the older set first
            noted = {"old": [], "new": noted}
        for name in map(_bare, noted["new"]):
            if name not in noted["old"] or (aside / name).exists():  # else it is the older one still
                (out_dir / name).unlink(missing_ok=True)
        for name in (*map(_bare, noted["old"]), manifest):
            if (aside / name).exists():
                os.replace(aside / name, out_dir / name)
    shutil.rmtree(folder)


def _bare(name: str) -> str:
    return Path(name).name


def _lock(handle: int) -> bool:
    """Lock an open folder for as long as it is open; whether nobody else holds it and the file system can tell."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


SPLITS = ("train", "val", "test")
NEIGHBOURS = "neighbours.h5"


class ShardWriter:
    """Writes a set of shards whose rows are shuffled over each whole split, in bounded memory.

        with ShardWriter(out, axis, "uint16", seed=0) as writer:
            writer.write("train", spectra, pixel)

    Everything is written into a hidden folder inside `out_dir` and given its name when the `with` block ends
    without an error; after an error nothing is left. What a killed process leaves, the next writer to `out_dir`
    removes, so that the same program run again writes the same set. The order of the rows depends on the seed and on
    the blocks as they came.

    Args:
        out_dir: folder to write; made if missing.
        axis: positions of the C channels.
        dtype: "uint16" or "float32".
        seed: seed of the shuffling; it is written into the manifest.
        rows_per_shard: rows of each shard but the last of a split; rounded up to whole chunks of 1,024.
        labelled: whether a label is given with each row.
        sources: what the rows come from, in the order in which the first column of `pixel` counts them; plain types.
        parameters: settings worth keeping with the data; plain types.
        overwrite: whether a folder that is not empty may be written to. The shards of an older set are removed when
            the new ones are complete; other files are left alone.
        memory: bytes to use for shuffling.

    Raises:
        UserError: if `out_dir` is not empty and `overwrite` is not given, or the type is neither of the two.
    """

    def __init__(
        self,
        out_dir: str | Path,
        axis: SpectralAxis,
        dtype: str | np.dtype[Any],
        seed: int,
        *,
        rows_per_shard: int = 2**18,
        labelled: bool = False,
        sources: Sequence[Mapping[str, Any]] = (),
        parameters: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        memory: int = 256 * 2**20,
    ) -> None:
        self.out_dir, self.axis, self.dtype = Path(out_dir), axis, np.dtype(dtype).name
        if self.dtype not in DTYPES:
            raise UserError(f"shards hold {' or '.join(DTYPES)}, not {self.dtype}")
        if rows_per_shard < 1:
            raise UserError(f"rows_per_shard is {rows_per_shard}, expected at least 1")
        self._shard_rows = -(-rows_per_shard // CHUNK_ROWS) * CHUNK_ROWS
        self._seed, self._labelled, self._memory = seed, labelled, memory
        self._sources, self._parameters = [dict(s) for s in sources], dict(parameters or {})
        check_output(self.out_dir, overwrite)
        self._made_folder = not self.out_dir.exists()
        self.out_dir.mkdir(parents=True, exist_ok=True)
        self._unfinished = UnfinishedFolder(self.out_dir, MANIFEST)
        self._folder = self._unfinished.path
        self._shuffles: dict[str, ScatterShuffle] = {}
        self._neighbours: NeighbourPairs | None = None
        self._record = record_type(axis.channels, self.dtype, labelled)

    def write(
        self,
        split: str,
        spectra: NDArray[Any],
        pixel: NDArray[Any],
        label: NDArray[Any] | None = None,
    ) -> None:
        """Add rows to a split; they are shuffled with all others of the split when the writer closes.

        Args:
            split: "train", "val" or "test".
            spectra: (n, C) numbers that fit the shards' type; non-integers are refused for uint16.
            pixel: (n, 3) integers: number of the source, y, x.
            label: (n,) integers that fit int16, if and only if the writer is labelled.

        Raises:
            UserError: if a shape or a value does not fit.
        """
        if split not in SPLITS:
            raise UserError(f"split '{split}': expected one of {', '.join(SPLITS)}")
        n = len(spectra)
        if spectra.shape != (n, self.axis.channels) or pixel.shape != (n, 3):
            raise UserError(
                f"expected spectra (n, {self.axis.channels}) and pixel (n, 3), got {spectra.shape} and {pixel.shape}"
            )
        if (label is not None) != self._labelled or (label is not None and label.shape != (n,)):
            found = "none" if label is None else f"shape {label.shape}"
            raise UserError(f"expected {'labels of shape (n,)' if self._labelled else 'no labels'}, got {found}")
        if n == 0:
            return
        self._check_values(spectra)
        if split not in self._shuffles:
            rng = np.random.default_rng([self._seed, SPLITS.index(split)])
            self._shuffles[split] = ScatterShuffle(self._folder / f"rows-{split}", self._record, rng, self._memory)
        self._shuffles[split].add(to_records(SpectraBlock(spectra, pixel, label), self._record))

    def write_neighbours(self, pairs: NeighbourPairs) -> None:
        """Set the pairs of neighbouring pixels that are kept beside the shards.

        Args:
            pairs: spectra (M, C) that fit the shards' type.

        Raises:
            UserError: if a shape or a value does not fit.
        """
        rows = len(pairs.spectra_MC)
        if rows % 2 or pairs.spectra_MC.shape != (rows, self.axis.channels) or pairs.pixel_M3.shape != (rows, 3):
            raise UserError(
                f"expected pairs of spectra (2 n, {self.axis.channels}) and pixel (2 n, 3), got "
                f"{pairs.spectra_MC.shape} and {pairs.pixel_M3.shape}"
            )
        self._check_values(pairs.spectra_MC)
        self._neighbours = pairs

    def _check_values(self, spectra: NDArray[Any]) -> None:
        if self.dtype == "float32" and spectra.dtype.kind == "f":
            with np.errstate(over="ignore"):
                finite = np.isfinite(spectra.astype(np.float32, copy=False)).all()
            if not finite:
                raise UserError("a spectrum holds NaN, infinity or a value beyond float32: leave dead pixels out")
        elif self.dtype == "uint16" and spectra.dtype != np.uint16:
            low, high = spectra.min(), spectra.max()
            if spectra.dtype.kind not in "iub" or low < 0 or high > 65535:
                raise UserError(
                    f"values {low:g} to {high:g} of type {spectra.dtype} do not fit uint16 counts: write float32"
                )

    def close(self, progress: Callable[[str, int], None] | None = None) -> ShardSet:
        """Shuffle, write the shards and then the manifest.

        Args:
            progress: called after each shard with its name and rows.

        Returns:
            The finished set.

        Raises:
            UserError: if no row was written.
        """
        try:
            if not self._shuffles:
                raise UserError(f"{self.out_dir}: no spectra to write")
            splits = {s: self._write_split(s, progress) for s in SPLITS if s in self._shuffles}
            self._publish(splits, self._write_pairs())
        except BaseException:
            self.abandon()
            raise
        self._unfinished.remove()
        return ShardSet(self.out_dir)

    def _write_split(self, split: str, progress: Callable[[str, int], None] | None) -> list[ShardEntry]:
        shuffle = self._shuffles[split]
        attributes = {
            "split": split,
            "seed": self._seed,
            "source": self._sources,
            "parameters": self._parameters,
        }
        entries = []
        # Pieces of a shard go to the file as they come: a shard never lies in memory as a whole.
        pieces = recut(shuffle.blocks(), CHUNK_ROWS)
        for number, first in enumerate(range(0, shuffle.rows, self._shard_rows)):
            rows = min(self._shard_rows, shuffle.rows - first)
            path = self._folder / f"{split}-{number:05d}.h5"
            checksum = write_shard(
                path,
                itertools.islice(pieces, -(-rows // CHUNK_ROWS)),
                rows,
                axis=self.axis,
                dtype=self.dtype,
                labelled=self._labelled,
                attributes=attributes,
            )
            entries.append(ShardEntry(path.name, rows, path.stat().st_size, checksum))
            if progress is not None:
                progress(path.name, rows)
        return entries

    def _write_pairs(self) -> ShardEntry | None:
        """The neighbours as a shard: rows 2i and 2i + 1 are a pair."""
        if self._neighbours is None:
            return None
        spectra_MC, pixel_M3 = self._neighbours
        block = SpectraBlock(spectra_MC.astype(self.dtype), pixel_M3, None)
        path, rows = self._folder / NEIGHBOURS, len(spectra_MC)
        checksum = write_shard(
            path,
            recut([block], CHUNK_ROWS),
            rows,
            axis=self.axis,
            dtype=self.dtype,
            labelled=False,
            attributes={"split": "neighbours", "seed": self._seed},
        )
        return ShardEntry(path.name, rows, path.stat().st_size, checksum)

    def _publish(self, splits: Mapping[str, Sequence[ShardEntry]], neighbours: ShardEntry | None) -> None:
        """Give the shards their names; the older set is moved aside first, the new manifest comes last."""
        old = _shard_names(self.out_dir)
        new = [entry.file for entries in splits.values() for entry in entries]
        new += [] if neighbours is None else [neighbours.file]
        for name in new:
            flush_to_disk(self._folder / name)
        self._unfinished.set_aside(old, new)
        for name in new:
            os.replace(self._folder / name, self.out_dir / name)
        flush_to_disk(self.out_dir)
        write_manifest(
            self.out_dir,
            scratch=self._folder,
            axis=self.axis,
            dtype=self.dtype,
            seed=self._seed,
            labelled=self._labelled,
            sources=self._sources,
            parameters=self._parameters,
            splits=splits,
            neighbours=neighbours,
        )

    def abandon(self) -> None:
        """Remove everything written so far."""
        for shuffle in self._shuffles.values():
            with suppress(OSError):  # what is still to be written finds no room on a full disk, and is not wanted
                shuffle.close()
        self._unfinished.remove()
        if self._made_folder and self.out_dir.is_dir() and not any(self.out_dir.iterdir()):
            self.out_dir.rmdir()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self.abandon()
        elif self._folder.exists():
            self.close()


def check_output(out_dir: Path, overwrite: bool) -> None:
    """Refuse a folder that is not empty, unless it may be overwritten; what killed writers left does not count.

    Raises:
        UserError: if it is a file, or not empty without `overwrite`, or another process is writing there.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise UserError(f"{out_dir}: this is a file, expected a folder to write shards to")
    if out_dir.is_dir():
        clear_unfinished(out_dir, MANIFEST)
    if out_dir.is_dir() and any(out_dir.iterdir()) and not overwrite:
        what = "holds a set of shards" if (out_dir / MANIFEST).exists() else "is not empty"
        raise UserError(f"{out_dir}: the folder {what}; choose another one or give overwrite")


def _shard_names(root: Path) -> set[str]:
    """Files that the manifest of an older set names; none if there is no readable manifest."""
    try:
        state = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        entries = [entry for part in state["splits"].values() for entry in part]
        entries += [state["neighbours"]] if state.get("neighbours") else []
        return {entry["file"] for entry in entries if Path(entry["file"]).name == entry["file"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
