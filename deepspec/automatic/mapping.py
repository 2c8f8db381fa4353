"""What `map` does: the commands that lead from scans to maps, and which of them have been done before.

The folder holds

    commands.sh            the commands, to run them by hand or to change one of them
    map.json               which of them are done, and what they were done to
    shards/  run/          of `ingest` and `fit`
    NAME-segmentation/     of `segment`, one for each scan
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepspec.automatic.experiment import keys_of
from deepspec.automatic.kind import split_for
from deepspec.data.cube_options import masks_of
from deepspec.data.fingerprint import fingerprint
from deepspec.data.readers.folder import cube_files
from deepspec.data.shards.manifest import MANIFEST
from deepspec.errors import UserError
from deepspec.files import MODEL, SEGMENTATION, complete_or_absent, recover_folder
from deepspec.presets import find_config
from deepspec.workers.job import by_content, companions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.data.cube_options import CubeOptions

COMMANDS, STATE = "commands.sh", "map.json"
_FORMAT, _VERSION = "deepspec-map", 1

Verb = Literal["ingest", "fit", "segment"]


@dataclass(frozen=True)
class MapRequest:
    """What is asked for.

    Attributes:
        scans: files or folders, as the user gives them.
        out: folder for everything.
        experiment: name of a preset, or path of a YAML file.
        k: how many clusters, or the fewest and most; None: found from the data.
        mask: as `ingest` and `segment` take it.
        tube: as `ingest` takes it.
        seed: of all random choices.
        reading: how each scan is read.
    """

    scans: tuple[str, ...]
    out: Path
    experiment: str
    k: int | tuple[int, int] | None
    mask: str | list[str] | None
    tube: str | None
    seed: int
    reading: CubeOptions


@dataclass(frozen=True)
class Step:
    """A command."""

    verb: Verb
    words: tuple[str, ...]
    """Of its command line, without the verb."""
    about: str
    """What it does, in a sentence."""
    folder: Path
    """That it writes."""
    key: str = ""
    """Of all that the result depends on: this command, those before it, and the contents of the files."""

    @property
    def name(self) -> str:
        """Under which it is recorded."""
        return self.verb if self.verb != "segment" else f"segment {self.folder.name}"

    @property
    def command(self) -> str:
        """To be typed."""
        return f"deepspec {self.verb} {shlex.join(self.words)}"

    @property
    def is_complete(self) -> bool:
        """Whether its result is there."""
        if self.verb == "segment":
            recover_folder(self.folder)
        return (self.folder / {"ingest": MANIFEST, "fit": MODEL, "segment": SEGMENTATION}[self.verb]).is_file()


def planned(request: MapRequest) -> list[Step]:
    """The commands, in order.

    Raises:
        UserError: a file is missing, two scans have one name, or `k` cannot be had.
    """
    files = cube_files(request.scans, request.reading.spatial_shape)
    names = [Path(file).stem for file in files]
    for place, name in enumerate(names):
        if (first := names.index(name)) < place:
            raise UserError(f"{files[first]} and {files[place]} have one name; map them apart, or rename one")
    anew = len(files) == 1 and _finds_anew(request)
    fit_k, segment_k = _where_k_goes(request, anew=anew)
    out, seed = request.out, request.seed
    # The clusters of the training must know every part of the only scan.
    shares = split_for(request.experiment) if anew or len(files) > 1 else (1.0, 0.0, 0.0)
    split = [] if shares is None else ["--split", *(f"{share:g}" for share in shares)]
    tube = [] if request.tube is None else ["--tube", request.tube]
    masks = masks_of(request.mask, files)
    data, run = str(out / "shards"), str(out / "run")
    reading = _reading_words(request.reading)
    ingest = [*request.scans, "--out", data, *split, *tube, *_option("--seed", seed), *reading]
    # The experiments are measured on one device; several would take larger batches and fewer steps.
    fit = ["--config", request.experiment, "--data.root", data, "--run_dir", run, "--trainer.devices", "1", *fit_k]
    steps = [
        Step(
            "ingest",
            (*ingest, *_mask_words(request.mask)),
            "The spectra, shuffled, for training.",
            out / "shards",
        ),
        Step(
            "fit",
            (*fit, *_option("--seed_everything", seed)),
            "The model. `deepspec experiments --out .` copies the YAML files, to change one and give it as --config.",
            out / "run",
        ),
    ]
    for place, file in enumerate(files):
        folder = out / f"{names[place]}-segmentation"
        segment = [file, "--checkpoint", run, *(["--clusters", "refit"] if anew else []), "--out", str(folder)]
        own_mask = _mask_words(masks[place])
        steps.append(
            Step(
                "segment",
                (*segment, *segment_k, *_option("--seed", seed), *reading, *own_mask),
                "Clusters of this scan. --k N asks for so many, --clusterer for another way to find them."
                if anew
                else "The clusters of the training: a number and its colour are the same material in every scan.",
                folder,
            )
        )
    return _with_keys(steps, request, files, masks)


def _clusterer(request: MapRequest) -> str:
    kind: str = (keys_of(request.experiment).get("clusterer") or {}).get("kind", "ikmeans")
    return kind


def _finds_anew(request: MapRequest) -> bool:
    """Whether the clusters of a single scan are found anew in it.

    K-means is, which the training does on a small sample to watch itself; and a range of K cannot be cut out of a merge
    tree. Else the clusters are the training's, so that another scan can be given the same numbers later.
    """
    return _clusterer(request) == "ikmeans" or isinstance(request.k, tuple)


def _where_k_goes(request: MapRequest, *, anew: bool) -> tuple[list[str], list[str]]:
    """Words of `fit` and of `segment` that ask for the number of clusters.

    Where clusters are not found anew they are the training's: K-means has to look for so many there, and a merge tree
    can be cut into as many.

    Raises:
        UserError: a range is asked of a merge tree for several scans.
    """
    k = request.k
    if k is None:
        return [], []
    pair = (k, k) if isinstance(k, int) else k
    clusterer = _clusterer(request)
    if anew:
        return [], ["--k", *(str(n) for n in (pair if isinstance(k, tuple) else (k,)))]
    if clusterer == "ikmeans":
        if pair[0] < 2:
            raise UserError(f"k: K-means divides several scans into 2 clusters or more, got {pair[0]}")
        return ["--ikmeans.k_min", str(pair[0]), "--ikmeans.k_max", str(pair[1])], []
    if not isinstance(k, int):
        raise UserError(
            f"k: of several scans the clusters of the training are kept, which the clusterer {clusterer} finds with "
            f"their number: expected one number to merge them into, got {k[0]} to {k[1]}"
        )
    return [], ["--k", str(k)]


def _option(name: str, value: int) -> list[str]:
    return [name, str(value)] if value else []


def _mask_words(mask: str | list[str] | None) -> list[str]:
    if mask is None:
        return []
    return ["--mask", f"[{','.join(mask)}]" if isinstance(mask, list) else mask]


def _reading_words(reading: CubeOptions) -> list[str]:
    """The options that are other than their defaults."""
    words: list[str] = []
    plain = asdict(type(reading)())
    for name, value in asdict(reading).items():
        if value != plain[name]:
            words += [f"--{name}", *(str(part) for part in (value if isinstance(value, tuple) else (value,)))]
    return words


def _with_keys(
    steps: Sequence[Step], request: MapRequest, files: Sequence[str], masks: Sequence[str | None]
) -> list[Step]:
    """The same with their keys: scans and other files count by their contents, and `out` by no name."""
    contents = {file: {"content": fingerprint(Path(file)), "others": companions(Path(file))} for file in files}
    known: dict[str, Any] = {scan: list(contents.values()) for scan in request.scans}  # a folder of scans
    known |= {request.experiment: fingerprint(find_config(request.experiment, "experiments")), **contents}
    known |= {word: [by_content(mask) for mask in masks] for word in _mask_words(request.mask)[1:]}
    found: list[Step] = []
    before = ""
    for step in steps:
        words: list[Any] = []
        for word in step.words:
            if word in known:
                words.append(known[word])
            elif Path(word).is_relative_to(request.out):
                words.append(f"{{out}}/{Path(word).relative_to(request.out)}")
            else:
                words.append(by_content(word))
        if step.verb == "segment":  # each scan by itself
            before = next(earlier.key for earlier in reversed(found) if earlier.verb == "fit")
        text = json.dumps([before, step.verb, words], sort_keys=True)
        before = hashlib.sha256(text.encode()).hexdigest()
        found.append(replace(step, key=before))
    return found


@dataclass
class Record:
    """What has been done in a folder.

    Attributes:
        path: of the file.
        done: key of each step by its name.
        begun: likewise, of those that were started.
    """

    path: Path
    done: dict[str, str] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, out: Path) -> Record:
        """The record of a folder; an empty one where there is nothing yet.

        Raises:
            UserError: the folder holds something else, or the record is damaged.
        """
        path = out / STATE
        if out.exists() and not out.is_dir():
            raise UserError(f"{out} is a file; give another folder with --out")
        if not path.is_file():
            others = sorted(inner.name for inner in out.iterdir()) if out.is_dir() else []
            if others:
                raise UserError(f"{out} holds something else than maps ({others[0]}); give another --out")
            return cls(path)
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if (state["format"], state["version"]) != (_FORMAT, _VERSION):
                raise ValueError(f"{state['format']} of version {state['version']}")
            return cls(path, dict(state["done"]), dict(state["begun"]))
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path}: expected the record of `deepspec map`, got what cannot be read ({error}); remove it with the "
                "folder, or give another --out"
            ) from error

    def begin(self, step: Step) -> None:
        """Note that a step is started."""
        self.done.pop(step.name, None)
        self.begun[step.name] = step.key
        self._write()

    def end(self, step: Step) -> None:
        """Note that a step is done."""
        self.begun.pop(step.name, None)
        self.done[step.name] = step.key
        self._write()

    def _write(self) -> None:
        state = {"format": _FORMAT, "version": _VERSION, "done": self.done, "begun": self.begun}
        with complete_or_absent(self.path, durable=True) as part:
            part.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Todo:
    """A step that has to be done, and the words to do it with."""

    step: Step
    words: tuple[str, ...]
    """With those to go on with, or to replace, what is there."""

    @property
    def command(self) -> str:
        """As it is run."""
        return f"deepspec {self.step.verb} {shlex.join(self.words)}"


def what_is_left(steps: Sequence[Step], record: Record, *, overwrite: bool) -> list[Todo]:
    """The steps that are not done. Shards are needed no more once there is a model of them.

    Args:
        steps: all.
        record: what has been done in the folder.
        overwrite: whether what was made otherwise may be replaced.

    Raises:
        UserError: something was made otherwise and must not be replaced.
    """
    known = {**record.begun, **record.done}
    other = [step for step in steps if known.get(step.name, step.key) != step.key]
    if other and not overwrite:
        raise UserError(
            f"{record.path.parent} holds what was made otherwise, by other files or options ({other[0].name}): "
            "--overwrite true replaces that, or give another --out"
        )
    kept = {step.name for step in steps if record.done.get(step.name) == step.key and step.is_complete}
    segments = [step for step in steps if step.verb == "segment" and step.name not in kept]
    needed = list(segments)
    ingest, fit = steps[0], steps[1]
    if segments and fit.name not in kept:
        needed = [*([] if ingest.name in kept else [ingest]), fit, *segments]
    return [Todo(step, (*step.words, *_flags(step, record))) for step in needed]


def _flags(step: Step, record: Record) -> list[str]:
    """How to treat what is there already."""
    if not step.folder.is_dir() or not any(step.folder.iterdir()):
        return []
    if step.verb == "fit" and record.begun.get(step.name) == step.key and not step.is_complete:
        return ["--ckpt_path", "last"]
    return ["--overwrite", "true"]


def write_commands(out: Path, steps: Sequence[Step], sentences: Sequence[str]) -> Path:
    """Write the commands as a script, which runs in the current folder.

    Args:
        out: where to.
        steps: all of them.
        sentences: what the scans were taken for.
    """
    lines = [
        "#!/bin/sh",
        "# What `deepspec map` ran. Each command can be changed and run by itself: --out, --run_dir and",
    ]
    lines += ["# --checkpoint say where its result goes and what it starts from.", "set -e"]
    lines += [f"cd {shlex.quote(str(Path.cwd()))}", "", *(f"# {line}" for line in sentences)]
    for step in steps:
        lines += ["", f"# {step.about}", step.command]
    path = out / COMMANDS
    with complete_or_absent(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
