"""ShardSet: a folder of shards as its `manifest.json` describes it.

The manifest is written last: a folder without one is no complete set.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.data.shards.format import CHUNK_ROWS, DTYPES, SpectraBlock, empty_block
from deepspec.data.shards.reader import ShardReader
from deepspec.errors import UserError
from deepspec.files import flush_to_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray


MANIFEST = "manifest.json"
FORMAT = "deepspec-shards"
VERSION = 1
_ROWS_AT_ONCE = 8 * CHUNK_ROWS


@dataclass(frozen=True)
class ShardEntry:
    """One shard in the manifest: its file name, rows, size on disk in bytes, and the checksum of its checksums."""

    file: str
    rows: int
    bytes: int
    checksum: int


class ShardSet:
    """Splits, shards, axis and origin of a folder of shards. Reading it touches the manifest only.

    Attributes:
        root: the folder.
        axis: positions of the C channels.
        dtype: type of the spectra, uint16 or float32.
        seed: seed of the shuffling, and of the generator if the spectra are synthetic.
        labelled: whether rows carry a label.
        sources: what the rows came from; the first column of `pixel` counts this list.
        parameters: settings of the program that wrote the set.

    Raises:
        UserError: if there is no manifest, or it is damaged or of another version.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        path = self.root / MANIFEST
        if not path.is_file():
            raise UserError(
                f"{self.root}: no {MANIFEST} here, so no complete set of shards; make one with deepspec ingest"
            )
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            found = (state["format"], state["version"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not a manifest of shards ({error})") from error
        if "checksum" in state and state["checksum"] != _checksum(state):  # manifests had none at first
            raise UserError(f"{path}: damaged manifest, it does not match its checksum; write the shards again")
        if found != (FORMAT, VERSION):
            raise UserError(f"{path}: expected {FORMAT} version {VERSION}, found {found[0]} version {found[1]}")
        try:
            self.axis = SpectralAxis.from_dict(state["axis"])
            self.dtype = np.dtype(state["dtype"])
            self.seed = int(state["seed"])
            self.labelled = bool(state["labelled"])
            self.sources: list[dict[str, Any]] = state["sources"]
            self.parameters: dict[str, Any] = state["parameters"]
            pairs = state.get("neighbours")
            self._neighbours = None if pairs is None else ShardEntry(**pairs)
            self._splits = {name: [ShardEntry(**entry) for entry in part] for name, part in state["splits"].items()}
        except (KeyError, TypeError, UserError) as error:
            raise UserError(f"{path}: damaged manifest ({error}); write the shards again") from error

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return self.axis.channels

    @property
    def splits(self) -> list[str]:
        """Names of the splits, such as train, val, test."""
        return list(self._splits)

    def entries(self, split: str) -> list[ShardEntry]:
        """The shards of a split, in order.

        Raises:
            UserError: if there is no such split.
        """
        if split not in self._splits:
            raise UserError(f"{self.root}: no split '{split}', there are: {', '.join(self._splits)}")
        return self._splits[split]

    def shards(self, split: str) -> list[Path]:
        """Paths of the shards of a split, in order."""
        return [self.root / entry.file for entry in self.entries(split)]

    def rows(self, split: str) -> int:
        """Number of rows of a split."""
        return sum(entry.rows for entry in self.entries(split))

    def open(self, split: str) -> list[ShardReader]:
        """Open the shards of a split and compare each with the manifest, without reading the spectra.

        Raises:
            UserError: naming the first shard that is missing, damaged, or belongs to another set.
        """
        return [self._open(entry) for entry in self.entries(split)]

    def _open(self, entry: ShardEntry, labelled: bool | None = None) -> ShardReader:
        path = self.root / entry.file
        if path.is_file() and path.stat().st_size != entry.bytes:
            raise UserError(f"{path}: damaged shard: {path.stat().st_size} bytes, the manifest says {entry.bytes}")
        shard = ShardReader(path)
        for what, found, expected in (
            ("rows", shard.rows, entry.rows),
            ("type", shard.dtype, self.dtype),
            ("labels", shard.labelled, self.labelled if labelled is None else labelled),
            ("checksum", shard.checksum, entry.checksum),
        ):
            if found != expected:
                raise UserError(f"{path}: not the shard that the manifest names: {what} {found}, expected {expected}")
        difference = self.axis.difference(shard.axis)
        if difference:
            raise UserError(f"{path}: not the shard that the manifest names: {difference}")
        return shard

    def read(self, split: str, start: int, stop: int) -> SpectraBlock:
        """Read rows `start` to `stop` of a split, over the borders of its shards, checked.

        Raises:
            UserError: if the rows do not exist or a shard is damaged.
        """
        if not 0 <= start <= stop <= self.rows(split):
            raise UserError(f"{self.root}: rows {start}:{stop} asked of split '{split}' with {self.rows(split)}")
        out = empty_block(stop - start, self.channels, self.dtype, self.labelled)
        # Piece by piece into arrays of the final size: a split that just fits into memory must not be there twice.
        for entry, first in self._starts(split):
            a, b = max(start - first, 0), min(stop - first, entry.rows)
            if a >= b:
                continue
            with self._open(entry) as shard:
                while a < b:
                    end = min((a // _ROWS_AT_ONCE + 1) * _ROWS_AT_ONCE, b)
                    shard.read(a, end, into=out.rows(first + a - start, first + end - start))
                    a = end
        return out

    def _starts(self, split: str) -> Iterator[tuple[ShardEntry, int]]:
        """Each shard with the number of its first row in the split."""
        first = 0
        for entry in self.entries(split):
            yield entry, first
            first += entry.rows

    @property
    def has_neighbours(self) -> bool:
        """Whether pairs of neighbouring pixels were kept, so that y and x of the rows are places in images."""
        return self._neighbours is not None

    def read_neighbours(self) -> NDArray[Any]:
        """The pairs of neighbouring pixels that `ingest` kept of the training split, checked.

        Returns:
            (M, C), of the type stored: raw spectra, of which 2i and 2i + 1 are neighbours.

        Raises:
            UserError: if there are none, as in sets made by an older deepspec or of spectra without an image, or their
                file is damaged.
        """
        if self._neighbours is None:
            raise UserError(
                f"{self.root}: no pairs of neighbouring pixels here, on which the preprocessing step mnf measures the "
                "noise; ingest the cubes again (spectra without an image, as synthesize makes them, have no neighbours)"
            )
        with self._open(self._neighbours, labelled=False) as shard:
            return shard.read(0, shard.rows).spectra

    def verify(self, progress: Callable[[str, int], None] | None = None) -> None:
        """Read every shard and compare it with its checksums.

        Args:
            progress: called after each shard with its name and rows.

        Raises:
            UserError: at the first damaged shard.
        """
        for split in self.splits:
            for entry in self.entries(split):
                with self._open(entry) as shard:
                    shard.verify()
                if progress is not None:
                    progress(entry.file, entry.rows)
        if self._neighbours is not None:
            with self._open(self._neighbours, labelled=False) as shard:
                shard.verify()


def write_manifest(
    root: Path,
    *,
    scratch: Path,
    axis: SpectralAxis,
    dtype: str,
    seed: int,
    labelled: bool,
    sources: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Any],
    splits: Mapping[str, Sequence[ShardEntry]],
    neighbours: ShardEntry | None = None,
) -> None:
    """Write `manifest.json` in one step, through the folder `scratch`; the shards must have their final names."""
    state = {
        "format": FORMAT,
        "version": VERSION,
        "dtype": dtype,
        "channels": axis.channels,
        "rows": {name: sum(entry.rows for entry in part) for name, part in splits.items()},
        "seed": seed,
        "labelled": labelled,
        "splits": {name: [asdict(entry) for entry in part] for name, part in splits.items()},
        "neighbours": None if neighbours is None else asdict(neighbours),
        "sources": list(sources),
        "parameters": dict(parameters),
        "axis": axis.to_dict(),
    }
    assert dtype in DTYPES
    state["checksum"] = _checksum(state)
    temporary = scratch / MANIFEST
    temporary.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    flush_to_disk(temporary)
    os.replace(temporary, root / MANIFEST)
    flush_to_disk(root)


def _checksum(state: Mapping[str, Any]) -> str:
    """SHA-256 of everything else that a manifest says."""
    said = {key: value for key, value in state.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
