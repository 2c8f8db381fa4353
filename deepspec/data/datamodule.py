"""SpectraDataModule: batches of spectra from a folder of shards, for one process or many."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import lightning
import numpy as np
import torch

from deepspec.data.loader import SpectraLoader
from deepspec.data.manifest import ShardSet
from deepspec.data.memory import available_memory
from deepspec.data.row_order import Piece, chunks, full_batches, padded_batches, share
from deepspec.data.row_source import MemoryRows, StreamedRows
from deepspec.errors import UserError

if TYPE_CHECKING:
    from deepspec.data.axis import SpectralAxis
    from deepspec.data.row_source import RowSource

Residency = Literal["ram", "stream"]


class SpectraDataModule(lightning.LightningDataModule):
    """Batches {"spectra": (B, C) as stored, "pixel": (B, 3) int32 = cube, y, x, "valid": (B,) bool}.

    Training leaves out the rows that fill no batch on every rank; validation and test give every row once and pad
    the last batches with `valid = False`. All ranks have the same number of batches.

    Args:
        root: folder of shards with its `manifest.json`, as written by `ingest` or `synthesize`.
        batch_size: rows of a batch on each process.
        residency: where the rows are kept: `ram` reads each split once, `stream` reads the shards again each epoch,
            `auto` takes `ram` when train and val fit in a quarter of the free memory.
        num_workers: processes that read ahead when streaming; each takes shared memory (/dev/shm) for three times
            `shuffle_buffer` rows. 0 reads between batches. Not used with `ram`.
        shuffle_buffer: rows that are shuffled together when streaming (fewer if they take over 256 MiB).
        seed: of the order of training rows; the order depends on it and on the epoch alone.
        max_rows: use only so many rows of each split, for trials.

    Raises:
        UserError: if `root` is no complete folder of shards, or a number is out of range.
    """

    def __init__(
        self,
        root: str,
        batch_size: int = 512,
        residency: Literal["auto", "ram", "stream"] = "auto",
        num_workers: int = 0,
        shuffle_buffer: int = 65536,
        seed: int = 0,
        max_rows: int | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("shuffle_buffer", shuffle_buffer, 1),
            ("seed", seed, 0),
            ("max_rows", max_rows, 1),
        ):
            if value is not None and value < least:
                raise UserError(f"data.{name} is {value}, expected at least {least}")
        self.shards = ShardSet(root)
        self.batch_size, self.num_workers = batch_size, num_workers
        self.shuffle_buffer, self.seed, self.max_rows = shuffle_buffer, seed, max_rows
        self._residency: Literal["auto", "ram", "stream"] = residency
        self._sources: dict[str, RowSource] = {}

    @property
    def axis(self) -> SpectralAxis:
        """Positions of the C channels."""
        return self.shards.axis

    @property
    def residency(self) -> Residency:
        """Where the rows are kept, with `auto` decided."""
        if self._residency == "auto":
            needed = sum(self._bytes(split) for split in ("train", "val") if split in self.shards.splits)
            here = 1.0 if self.trainer is None else self.trainer.num_devices / self.trainer.world_size
            self._residency = "ram" if needed * here < available_memory() / 4 else "stream"
        return self._residency

    def _bytes(self, split: str) -> int:
        return self.rows(split) * (self.shards.channels * int(self.shards.dtype.itemsize) + 12)

    def rows(self, split: str) -> int:
        """Rows of a split that are used."""
        rows = self.shards.rows(split)
        return rows if self.max_rows is None else min(rows, self.max_rows)

    def setup(self, stage: str) -> None:
        """Check every shard against the manifest, and let rank 0 decide where the rows are kept.

        Without a split `val` the trainer's validation is switched off.
        """
        for split in self.shards.splits:
            self.shards.open(split)
        if self.trainer is not None:
            # The two residencies give out rows in different orders: all ranks must take the same.
            self._residency = self.trainer.strategy.broadcast(self.residency)
            if "val" not in self.shards.splits and stage == "fit":
                self.trainer.limit_val_batches = 0  # what Lightning documents as "no validation"
                if self.trainer.is_global_zero:
                    print(f"{self.shards.root}: no split 'val', so no validation", file=sys.stderr)

    def train_dataloader(self) -> SpectraLoader:
        """Shuffled batches of the split `train`.

        Raises:
            UserError: if the split is missing or too small for one batch on every rank.
        """
        rows, (_, world) = self.rows("train"), self._place()
        batches = full_batches(rows, world, self.batch_size)
        if batches == 0:
            raise UserError(
                f"{self.shards.root}: the split 'train' has {rows} rows, too few for a batch of {self.batch_size} "
                f"on {world} process{'es' if world > 1 else ''}: lower data.batch_size"
            )
        return self._loader("train", batches, self.seed)

    def val_dataloader(self) -> SpectraLoader | list[SpectraLoader]:
        """Batches of the split `val` in fixed order; none if there is no such split."""
        return self._evaluation("val") if "val" in self.shards.splits else []

    def test_dataloader(self) -> SpectraLoader:
        """Batches of the split `test` in fixed order.

        Raises:
            UserError: if there is no such split.
        """
        return self._evaluation("test")

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
        return self._loader(split, batches, None)

    def _loader(self, split: str, batches: int, seed: int | None) -> SpectraLoader:
        if split not in self._sources:
            self._sources[split] = self._source(split, seed)
        pin = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        filler = self.shards.read(split, 0, 1)
        return SpectraLoader(self._sources[split], batches, self.batch_size, filler, pin=pin)

    def _source(self, split: str, seed: int | None) -> RowSource:
        rank, world = self._place()
        if self.residency == "ram":
            start, stop = share(self.rows(split), rank, world)
            return MemoryRows(self.shards.read(split, start, stop), seed, rank)
        return StreamedRows(
            self.shards.open(split),
            self._pieces(split),
            seed=seed,
            rank=rank,
            world=world,
            window_rows=self.shuffle_buffer,
            num_workers=self.num_workers,
        )

    def _pieces(self, split: str) -> list[Piece]:
        return chunks([entry.rows for entry in self.shards.entries(split)], self.rows(split))

    def _place(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
