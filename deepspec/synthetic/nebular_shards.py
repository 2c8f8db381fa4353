"""Write sets of nebular spectra as shards, and what each spectrum was made from beside them.

Shapes: N spectra of a split, C channels, M mixtures, F features.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, get_args

import numpy as np

from deepspec.data.hdf5_file import read_hdf5, write_hdf5
from deepspec.data.shards.writer import SPLITS, ShardWriter
from deepspec.errors import UserError
from deepspec.files import complete_or_absent
from deepspec.synthetic.nebular_lines import features
from deepspec.synthetic.nebular_models import CLASSES
from deepspec.synthetic.nebular_spectra import NebularSpectra, Split, library_range

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import h5py

    from deepspec.data.shards.manifest import ShardSet
    from deepspec.synthetic.nebular_models import NebularModels
    from deepspec.synthetic.nebular_spectra import NebularBlock, Observation

_DRAWN = ("velocity", "sigma_v", "reddening", "snr", "continuum")


def write_nebular_shards(
    out_dir: Path,
    counts: Mapping[str, int],
    observation: Observation,
    truth: Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[str, int], None] | None = None,
) -> ShardSet:
    """Write spectra of each split as shards in float32, with class labels, in bounded memory.

    `pixel` is (0, number of the mixture, number of the spectrum in its split); with these numbers the other file
    tells what each spectrum was made from: `/SPLIT/mixtures/models` (M, 2) and `share` (M,), `/SPLIT/spectra/NAME`
    (N,) for velocity and sigma_v in km/s, reddening, snr and continuum, `/library/CLASS/flux` (models, F) with the
    parameters of each model. `share` is that of the first model.

    Args:
        out_dir: folder for the shards, see `ShardWriter`.
        counts: spectra of each split; those without any are left out.
        observation: how the nebulae are seen.
        truth: HDF5 file to write the origin of each spectrum to; an existing one is replaced.
        seed: seed of the shuffling and of all other random choices.
        overwrite: see `ShardWriter`.
        progress: called with "made" or "written" and a number of spectra.

    Raises:
        UserError: if the folder is not empty, or no split has a spectrum.
    """
    unknown = set(counts) - set(SPLITS)
    if unknown or not any(counts.values()):
        raise UserError(f"counts={dict(counts)}: expected a number of spectra for some of {', '.join(SPLITS)}")
    asked: list[Split] = [name for name in get_args(Split) if counts.get(name)]
    sets = {name: NebularSpectra(counts[name], name, observation, seed=seed) for name in asked}
    first = next(iter(sets.values()))
    writer = ShardWriter(
        out_dir,
        first.channels.axis,
        "float32",
        seed,
        labelled=True,
        sources=[{"generator": "deepspec synthesize nebulae", "classes": list(CLASSES), "truth": truth.name}],
        parameters={"counts": dict(counts), "seed": seed, **asdict(observation)},
        overwrite=overwrite,
    )
    with writer, complete_or_absent(truth) as part, write_hdf5(part) as file:
        _write_library(file, first.library)
        file.attrs["seed"] = seed
        for name, spectra in sets.items():
            _write_mixtures(file.create_group(f"{name}/mixtures"), spectra)
            drawn = file.create_group(f"{name}/spectra")
            for key in _DRAWN:
                drawn.create_dataset(key, (spectra.rows,), np.float32)
            for block in spectra.blocks():
                _write_block(writer, name, block)
                for key in _DRAWN:
                    drawn[key][block.rows[0] : block.rows[-1] + 1] = block.drawn[key]
                if progress is not None:
                    progress("made", len(block.rows))
        return writer.close(None if progress is None else lambda _, rows: progress("written", rows))


def _write_block(writer: ShardWriter, split: str, block: NebularBlock) -> None:
    pixel = np.zeros((len(block.rows), 3), dtype=np.int32)
    pixel[:, 1], pixel[:, 2] = block.mixture, block.rows
    writer.write(split, block.spectra, pixel, block.labels)


def _write_library(file: h5py.File, library: Mapping[int, NebularModels]) -> None:
    for label, models in library.items():
        group = file.create_group(f"library/{CLASSES[label]}")
        group["flux"] = models.flux_NF.astype(np.float32)
        group["flux"].attrs["features"] = list(features())
        for name, values in models.parameters.items():
            group[name] = values.astype(np.float32)


def _write_mixtures(group: h5py.Group, spectra: NebularSpectra) -> None:
    group["models"] = spectra.models.astype(np.int16)
    group["models"].attrs["range"] = library_range(spectra.split)
    group["share"] = spectra.share
    group["label"] = spectra.mixture_labels(np.arange(len(spectra.share)))
    group["first_spectrum"] = spectra.first_row


def is_record_of_shards(path: Path) -> bool:
    """Whether a file is what `write_nebular_shards` wrote beside the shards, the origin of each spectrum."""
    try:
        with read_hdf5(path) as file:
            return "library" in file and any(f"{split}/mixtures" in file for split in SPLITS)
    except OSError:  # no HDF5
        return False
