"""What `fit --help` prints: the keys of deepspec, without the seconds that it takes to import what they configure."""

from __future__ import annotations

import difflib
import re
import shutil
import textwrap
from typing import TYPE_CHECKING

from deepspec.errors import UserError
from deepspec.training.signatures import Parameter, parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROG = "python -m deepspec.fit"

OWN = {
    "run_dir": ("str", "runs/run", "folder of this run; made if missing"),
    "ckpt_path": ("str | null", "null", "continue from this checkpoint; `last`: where this run was"),
    "keep": ("{best,last}", "best", "which epoch's weights model.ckpt gets"),
    "overwrite": ("bool", "false", "replace an earlier run in run_dir"),
}
"""Keys of the run itself: type, default, description."""

GROUPS = {
    "data": ("deepspec.data.datamodule", "SpectraDataModule", "where the spectra are"),
    "model": ("deepspec.training.module", "DeepClustering", "preprocessing, network, loss and optimiser"),
    "loss_schedule": ("deepspec.training.callbacks.loss_schedule", "LossSchedule", "weights of the loss by epoch"),
    "ikmeans": ("deepspec.training.callbacks.ikmeans", "IKMeansCallback", "clusters that are looked for"),
    "clusterer": ("deepspec.clustering.config", "ClustererConfig", "what divides the latent points into clusters"),
    "tracking": ("deepspec.training.tracking_config", "TrackingConfig", "where a run is shown besides its folder"),
}
"""Keys that have keys of their own: the class that they build, and what they are about."""

LINKED = {"model.axis", "model.training_spectra", "data.seed", "ikmeans.seed"}
"""Parameters that are no keys: `FitCLI` links them to the data and to `seed_everything`."""

TRAINER = {
    "max_epochs": ("int", "20", "epochs of training"),
    "accelerator": ("{auto,cpu,gpu}", "auto", "what it trains on"),
    "devices": ("int | auto", "auto", "how many of them; several need a strategy"),
    "strategy": ("str", "auto", "ddp: a process for each device"),
    "precision": ("str", "null", "bf16-mixed: the network alone in half precision; 32-true if not given"),
}
"""The keys of Lightning's trainer that are needed most."""

_HEADER = f"""\
usage: {PROG} --config EXPERIMENT.yaml [--KEY VALUE ...]

Fit a model to shards of spectra. The keys below stand in the file (--model.network.latent 4 is `model: {{network:
{{latent: 4}}}}`) and on the command line, which wins. In brackets is what holds if a key is not given.

  -h, --help
        these keys, with the first sentence about each
  --help.KEY
        all about the keys under KEY, such as --help.model.network; --help.trainer lists those of Lightning's trainer
  -c, --config FILE
        YAML file of keys; several are laid over each other
  --print_config
        print all keys as they were resolved, and end
  --seed_everything INT [0]
        seed of all random choices"""


def asked_for(args: Sequence[str]) -> str | None:
    """What kind of help a command line asks for: empty for the keys, else what is below `--help.`; None for none."""
    for arg in args:
        if arg in ("-h", "--help"):
            return ""
        if arg.startswith("--help."):
            return arg.removeprefix("--help.")
    return None


def fit_help(under: str = "", width: int | None = None) -> str:
    """The text on all keys, or on those under one.

    Args:
        under: a key, a part of one from the left, or empty for all.
        width: columns; those of the terminal if not given.

    Raises:
        UserError: there is no such key.
    """
    columns = min(width or shutil.get_terminal_size().columns, 120)
    if not under:
        lines = [_HEADER, *_own(OWN, "", columns)]
        for group, (module, name, about) in GROUPS.items():
            lines += [f"\n{group}: {about}", *_brief(group, parameters_of(module, name), columns)]
        lines.append("\ntrainer: the keys needed most; --help.trainer has all")
        return "\n".join([*lines, *_own(TRAINER, "trainer.", columns)])
    group = under.partition(".")[0]
    keys = dict(keys_of(group, parameters_of(*GROUPS[group][:2]))) if group in GROUPS else {}
    found = {key: parameter for key, parameter in keys.items() if f"{key}.".startswith(f"{under}.")}
    if not found:
        near = difflib.get_close_matches(under, [*GROUPS, *keys], n=1)
        hint = f" (did you mean --help.{near[0]}?)" if near else ""
        raise UserError(f"--help.{under}: no such key; expected one under {', '.join([*GROUPS, 'trainer'])}{hint}")
    return "\n".join(
        line
        for key, parameter in found.items()
        for line in _option(key, parameter.kind, parameter.default, parameter.description, columns)
    )


def _brief(group: str, parameters: list[Parameter], columns: int) -> Iterator[str]:
    """The keys of a group; where two have the same keys below them, only one is told with these."""
    for place, parameter in enumerate(parameters):
        names = [part.name for part in parameter.parts]
        same = next(
            (other.name for other in parameters[:place] if names and names == [p.name for p in other.parts]), ""
        )
        if same:
            yield f"  --{group}.{parameter.name}.*  the same keys as --{group}.{same}.*"
            continue
        for key, part in keys_of(group, [parameter]):
            sentence = re.split(r"(?<!e\.g)(?<!\.)\. (?=[A-Z`])", part.description)[0].rstrip(".")
            yield from _option(key, part.kind, part.default, sentence, columns)


def keys_of(prefix: str, parameters: list[Parameter]) -> Iterator[tuple[str, Parameter]]:
    """Every key under a prefix that takes a value, with what is known of it."""
    for parameter in parameters:
        key = f"{prefix}.{parameter.name}"
        if key in LINKED:
            continue
        if parameter.parts:
            yield from keys_of(key, parameter.parts)
        else:
            yield key, parameter


def _own(keys: dict[str, tuple[str, str, str]], prefix: str, columns: int) -> list[str]:
    return [line for key, told in keys.items() for line in _option(prefix + key, *told, columns)]


def _option(key: str, kind: str, default: str | None, text: str, columns: int) -> list[str]:
    ending = " [required]" if default is None else f" [{default}]" if default else ""
    told = textwrap.wrap(text, max(columns - 8, 40), break_on_hyphens=False)
    return [f"  --{key} {kind}{ending}", *(f"{'':8}{line}" for line in told)]
