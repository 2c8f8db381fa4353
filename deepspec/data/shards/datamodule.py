"""SpectraDataModule: batches of spectra from a folder of shards, for one process or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import lightning
import numpy as np
import torch

from deepspec.data.memory import available_memory, device_memory
from deepspec.data.shards.loader import SpectraLoader
from deepspec.data.shards.manifest import ShardSet
from deepspec.data.shards.order import (
    EpochOrder,
    Piece,
    chunks,
    dealt_pieces,
    full_batches,
    padded_batches,
    rank_pieces,
)
from deepspec.data.shards.rows import MemoryRows, StreamedRows
from deepspec.errors import UserError
from deepspec.notes import note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deepspec.axis import SpectralAxis
    from deepspec.data.shards.rows import RowSource


Residency = Literal["stream", "ram", "device"]
Target = Literal["self", "neighbour"]

_WINDOW_BYTES = 256 * 2**20


class SpectraDataModule(lightning.LightningDataModule):
    """Batches {"spectra": (B, C) as stored, "pixel": (B, 3) int32 = cube, y, x, "valid": (B,) bool}.

    Training leaves out the rows that fill no batch on every rank, and pads none; an epoch may go over a small split
    several times (`min_batches`). Validation, test and prediction give every row once and pad the last batches with
    `valid = False`. All ranks have the same number of batches. The rows and their order are a function of seed, epoch,
    number of ranks, batch size, `min_batches` and `shuffle_buffer` alone: neither where the rows are kept nor the
    number of workers changes them.

    With `target: neighbour` training batches have "target" too, (B, C) as stored: for each row the spectrum of one of
    the up to eight pixels around it, drawn anew each time.

    The batch size is each process's: N ranks take N times as many spectra in a step, and an N-th of the steps in an
    epoch. For the run of one process with batches of B, take B / N. In training every rank shuffles a share of its own,
    so the rows that N ranks take in a step are not those that one process takes. In evaluation they are, in order.

    Args:
        root: folder of shards with its `manifest.json`, as written by `ingest` or `synthesize`.
        batch_size: rows of a batch on each process (rank). A split `train` whose share for each process has fewer is
            trained on in batches of that share.
        residency: where the rows are kept: `stream` reads the shards again each epoch, `ram` reads each split once,
            `device` keeps the rows as stored on the accelerator and gathers the batches there. `auto` takes `device`
            if that is a GPU and train and val fit in half of its free memory, `ram` if they fit in a quarter of the
            host's, else `stream`.
        num_workers: processes that read ahead when streaming. With 0 reading and training take turns. Each takes
            shared memory (/dev/shm) for twice `shuffle_buffer` rows, for each of train and val.
        shuffle_buffer: rows that are shuffled together, in whole chunks of 1,024 (fewer if they take over 256 MiB).
        seed: of the order of training rows; the order depends on it and on the epoch alone.
        max_rows: use only so many rows of each split, for trials.
        min_batches: steps of training in an epoch, at the least: with fewer batches in a split an epoch goes over it
            several times, each time in another order.
        target: what the network shall give for a training spectrum: `self`, the same; or `neighbour`, that of a random
            neighbour in the image, whose noise is another (Noise2Noise), for noisy cubes. Neighbours are looked for
            among the training spectra of the same process, which must be kept in memory; a spectrum that has none
            there is its own target. Validation is against the spectra themselves.

    Raises:
        UserError: if `root` is no complete folder of shards, or a number is out of range.
    """

    def __init__(
        self,
        root: str,
        batch_size: int = 512,
        residency: Literal["auto", "stream", "ram", "device"] = "auto",
        num_workers: int = 0,
        shuffle_buffer: int = 65536,
        seed: int = 0,
        max_rows: int | None = None,
        min_batches: int = 1,
        target: Literal["self", "neighbour"] = "self",
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("min_batches", min_batches, 1),
            ("num_workers", num_workers, 0),
            ("shuffle_buffer", shuffle_buffer, 1),
            ("seed", seed, 0),
            ("max_rows", max_rows, 1),
        ):
            if value is not None and value < least:
                raise UserError(f"data.{name} is {value}, expected at least {least}")
        if target not in get_args(Target):
            raise UserError(f"data.target is {target!r}, expected one of {', '.join(get_args(Target))}")
        self.shards = ShardSet(root)
        if target == "neighbour" and not self.shards.has_neighbours:
            raise UserError(
                f"data.target neighbour: {self.shards.root} was not made of images by this ingest, so it knows no "
                "neighbouring pixels; ingest the cubes again, or take data.target self"
            )
        self.target = target
        self.batch_size, self.min_batches, self.num_workers = batch_size, min_batches, num_workers
        self.shuffle_buffer, self.seed, self.max_rows = shuffle_buffer, seed, max_rows
        self._asked = residency
        self._residency: Literal["auto", "stream", "ram", "device"] = residency
        self._sources: dict[tuple[str, int | None], RowSource] = {}

    @property
    def axis(self) -> SpectralAxis:
        """Positions of the C channels."""
        return self.shards.axis

    @property
    def residency(self) -> Residency:
        """Where the rows are kept, with `auto` decided."""
        if self._residency == "auto":
            device, needed = self._device(), self._bytes(("train", "val"))
            if device.type == "cuda" and needed / self._place()[1] < device_memory(device) / 2:
                self._residency = "device"
            else:
                self._residency = "ram" if needed * self._here() < available_memory() / 4 else "stream"
        return self._residency

    def _bytes(self, splits: Iterable[str]) -> int:
        """What the rows of all ranks take in memory."""
        rows = sum(self.rows(split) for split in splits if split in self.shards.splits)
        return rows * (self.shards.channels * int(self.shards.dtype.itemsize) + 12)

    def _check_memory(self, splits: Iterable[str]) -> None:
        """Refuse to keep what does not fit, before hours of reading or a crash."""
        device = self._device() if self.residency == "device" else torch.device("cpu")
        part = 1 / self._place()[1] if device.type == "cuda" else self._here()
        needed, free = self._bytes(splits) * part, device_memory(device)
        if self.residency != "stream" and needed > free:
            raise UserError(
                f"data.residency {self.residency}: the spectra of {self.shards.root} take {needed / 1e9:.2f} GB on "
                f"{device}, where {free / 1e9:.2f} GB are free: take data.residency stream, or fewer data.max_rows"
            )

    def rows(self, split: str) -> int:
        """Rows of a split that are used."""
        rows = self.shards.rows(split)
        return rows if self.max_rows is None else min(rows, self.max_rows)

    @property
    def train_batch_size(self) -> int:
        """Rows of a batch of training on each process: `batch_size`, or all of its share where that has fewer."""
        return min(self.batch_size, self.rows("train") // self._place()[1])

    def _epoch(self) -> tuple[int, int]:
        """Batches of an epoch of training on each process, and how often it goes over its share for them."""
        rows, world, size = self.rows("train"), self._place()[1], self.train_batch_size
        batches = max(full_batches(rows, world, size), self.min_batches)
        return batches, -(-batches * size // (rows // world))

    def _say_what_is_other_than_asked_for(self) -> None:
        """Batches smaller than `batch_size`, and epochs of several passes."""
        rows, world, size = self.rows("train"), self._place()[1], self.train_batch_size
        if size == 0:
            return  # an error by and by
        passes = self._epoch()[1]
        said = [f"batches of {size} instead of {self.batch_size}"] if size < self.batch_size else []
        said += [f"an epoch goes over them {passes} times, for at least {self.min_batches} steps"] if passes > 1 else []
        if said:
            spectra = f"{rows} training spectra" + (f" for {world} processes" if world > 1 else "")
            note(f"{self.shards.root}: {spectra}: {', '.join(said)}")

    def setup(self, stage: str) -> None:
        """Check every shard against the manifest, and let rank 0 decide where the rows are kept.

        Without a split `val` the trainer's validation is switched off.

        Raises:
            UserError: if a shard is damaged, foreign or missing, or the rows do not fit where they shall be kept.
        """
        for split in self.shards.splits:
            self.shards.open(split)
        if self.trainer is not None:
            self._residency = self.trainer.strategy.broadcast(self.residency)
            if "val" not in self.shards.splits and stage == "fit":
                self.trainer.limit_val_batches = 0  # what Lightning documents as "no validation"
                if self.trainer.is_global_zero:
                    note(f"{self.shards.root}: no split 'val', so no validation")
            if stage == "fit" and self.trainer.is_global_zero:
                self._say_what_is_other_than_asked_for()
        stages = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        if self.target == "neighbour" and stage == "fit" and self.residency == "stream":
            raise UserError(
                "data.target neighbour: expected the spectra in memory, where neighbours can be found; got "
                f"data.residency {'auto, which is stream here' if self._asked == 'auto' else 'stream'}: take "
                "data.residency ram or device, or fewer data.max_rows"
            )
        self._check_memory(stages.get(stage, self.shards.splits))

    def train_dataloader(self) -> SpectraLoader:
        """Shuffled batches of the split `train`.

        Raises:
            UserError: if the split is missing or has fewer rows than there are ranks.
        """
        rows, (_, world) = self.rows("train"), self._place()
        size = self.train_batch_size
        if size == 0:
            raise UserError(
                f"{self.shards.root}: the split 'train' has {rows} rows for {world} processes: expected at least one "
                "for each; start fewer, with trainer.devices"
            )
        return self._loader("train", self._epoch()[0], self.seed, size)

    def val_dataloader(self) -> SpectraLoader | list[SpectraLoader]:
        """Batches of the split `val` in fixed order; none if there is no such split."""
        return self._evaluation("val") if "val" in self.shards.splits else []

    def test_dataloader(self) -> SpectraLoader:
        """Batches of the split `test` in fixed order.

        Raises:
            UserError: if there is no such split.
        """
        return self._evaluation("test")

    def predict_dataloader(self) -> list[SpectraLoader]:
        """Batches of every split in fixed order, one loader for each of `shards.splits`."""
        return [self._evaluation(split) for split in self.shards.splits]

    def sample(self, split: str, n: int, seed: int) -> torch.Tensor:
        """Draw spectra at random, the same on every rank and for every residency.

        Whole chunks are drawn, whose rows were shuffled over the split when they were written.

        Args:
            split: name of the split.
            n: number of spectra; a split with fewer gives all it has.
            seed: of the draw.

        Returns:
            (min(n, rows), C), of the type stored.
        """
        pieces = self._pieces(split)
        shards = self.shards.open(split)
        blocks, found = [], 0
        for number in np.random.default_rng(seed).permutation(len(pieces)):
            if found >= n:
                break
            piece = pieces[number]
            blocks.append(shards[piece.shard].read(piece.start, piece.stop).spectra)
            found += len(blocks[-1])
            shards[piece.shard].close()
        return torch.from_numpy(np.concatenate(blocks)[:n])

    def teardown(self, stage: str) -> None:
        """Let go of the rows in memory and of the workers."""
        self._sources.clear()

    def _evaluation(self, split: str) -> SpectraLoader:
        batches = padded_batches(self.rows(split), self._place()[1], self.batch_size)
        return self._loader(split, batches, None, self.batch_size)

    def _loader(self, split: str, batches: int, seed: int | None, batch_size: int) -> SpectraLoader:
        if (split, seed) not in self._sources:
            self._sources[split, seed] = self._source(split, seed)
        source = self._sources[split, seed]
        first = self.shards.read(split, 0, 1)
        return SpectraLoader(
            source,
            batches,
            batch_size,
            (torch.from_numpy(first.spectra), torch.from_numpy(first.pixel)),
            pin=self._device().type == "cuda" and source.device.type == "cpu",
            targets=isinstance(source, MemoryRows) and source.neighbours is not None,
            plan={
                "batch_size": batch_size,
                "ranks": self._place()[1],
                "shuffle_buffer": self.shuffle_buffer,
                "seed": self.seed,
                "batches": batches,
            },
        )

    def _source(self, split: str, seed: int | None) -> RowSource:
        rank, world = self._place()
        row_bytes = self.shards.channels * int(self.shards.dtype.itemsize)
        window_rows = min(self.shuffle_buffer, _WINDOW_BYTES // row_bytes)
        pieces = self._pieces(split)
        own = dealt_pieces(pieces, rank, world, self.batch_size) if seed is None else rank_pieces(pieces, rank, world)
        order = EpochOrder(own, seed, rank, window_rows, 1 if seed is None else self._epoch()[1])
        if self.residency == "stream":
            return StreamedRows(self.shards.open(split), order, num_workers=self.num_workers)
        device = self._device() if self.residency == "device" else torch.device("cpu")
        source = MemoryRows.load(self.shards, split, order, device)
        if self.target == "neighbour" and seed is not None:
            self._pair(source)
        return source

    def _pair(self, source: MemoryRows) -> None:
        """Let the neighbours of the training spectra be their targets, and say how many have one.

        A table of spectra has a name beside its file, and is no image.
        """
        images = [number for number, cube in enumerate(self.shards.sources) if "name" not in cube]
        count_N = source.find_neighbours(images).count_N
        if not count_N.any():
            raise UserError(
                f"{self.shards.root}: data.target neighbour: none of the {len(count_N)} training spectra has another "
                "beside it: ingest with a larger keep, or take data.target self"
            )
        if self._place()[0] == 0 and not count_N.all():
            note(
                f"{self.shards.root}: {(count_N == 0).sum()} of {len(count_N)} training spectra have no neighbour "
                "among them and are their own targets"
            )

    def _pieces(self, split: str) -> list[Piece]:
        return chunks([entry.rows for entry in self.shards.entries(split)], self.rows(split))

    def _place(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _here(self) -> float:
        """The part of all processes that run on this machine."""
        return 1.0 if self.trainer is None else self.trainer.num_devices / self.trainer.world_size

    def _device(self) -> torch.device:
        """Where this process trains; a batch that lies there already is left alone by Lightning."""
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
