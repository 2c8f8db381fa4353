"""What `fit --help` prints: the keys of deepspec, without the seconds that it takes to import what they configure.

What a class is built from, read from its source file: names, types, defaults and their descriptions.

The options of `fit` belong to classes whose modules import torch and Lightning, which takes seconds. Whoever asks for
help waits for neither, because the sources are only parsed here and never run.
"""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Parameter:
    """One argument of a class, as its source has it."""

    name: str
    kind: str
    """Its type: the values between braces where it takes few, else the annotation."""
    default: str | None
    """As it is written in YAML; None where there is none."""
    description: str
    """Of its line under `Args:`, or the text below it in a dataclass; empty if there is none."""
    parts: list[Parameter]
    """What its own class is built from, where that is a class of this package."""


def parameters_of(module: str, name: str) -> list[Parameter]:
    """The parameters of a class of this package, in order.

    Args:
        module: such as `deepspec.schedules`.
        name: the class: a dataclass, or one with an `__init__`.

    Raises:
        LookupError: there is no such module or class.
    """
    source = _Source(module)
    found = source.classes.get(name)
    if found is None:
        raise LookupError(f"{module} has no class {name}")
    return _fields(found, source) if _is_dataclass(found) else _arguments(found, source)


class _Source:
    """A parsed module."""

    def __init__(self, module: str) -> None:
        # Not by importlib, which imports the packages that a module is in.
        path = PACKAGE.joinpath(*module.split(".")[1:])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not file.is_file():
            raise LookupError(f"no module {module}")
        tree = ast.parse(file.read_text(encoding="utf-8"))
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.assigned = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self.imported = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE.name
            for alias in node.names
        }

    def find(self, name: str) -> tuple[_Source, str] | None:
        """The module that defines a class or a name for a type, by the imports; None if it is none of this package."""
        if name in self.classes or name in self.assigned:
            return self, name
        if name not in self.imported:
            return None
        module, original = self.imported[name]
        assert module is not None
        return _Source(module).find(original)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _fields(node: ast.ClassDef, source: _Source) -> list[Parameter]:
    """Of a dataclass: its annotated names, each with the text below it or that under `Args:`."""
    described = _described(ast.get_docstring(node) or "")
    found = []
    for line, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            text = described.get(line.target.id, "")
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                text = inspect.cleandoc(str(following.value.value))
            found.append(_parameter(line.target.id, line.annotation, line.value, text, source))
    return found


def _arguments(node: ast.ClassDef, source: _Source) -> list[Parameter]:
    """Of a class with an `__init__`: its arguments, each with its text under `Args:` of the class."""
    described = _described(ast.get_docstring(node) or "")
    init = next(part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__")
    given = init.args.args[1:]
    defaults = [*[None] * (len(given) - len(init.args.defaults)), *init.args.defaults]
    given, defaults = [*given, *init.args.kwonlyargs], [*defaults, *init.args.kw_defaults]
    return [
        _parameter(argument.arg, argument.annotation, default, described.get(argument.arg, ""), source)
        for argument, default in zip(given, defaults, strict=True)
    ]


def _parameter(
    name: str, annotation: ast.expr | None, default: ast.expr | None, text: str, source: _Source
) -> Parameter:
    kind, parts = ("", list[Parameter]()) if annotation is None else _type(annotation, source)
    if isinstance(default, ast.Call):
        given = dict(zip([part.name for part in parts], default.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in default.keywords if keyword.arg is not None}
        parts = [replace(part, default=_in_yaml(given.get(part.name)) or part.default) for part in parts]
    return Parameter(name, kind, _in_yaml(default), " ".join(text.split()), parts)


def _type(annotation: ast.expr, source: _Source) -> tuple[str, list[Parameter]]:
    """How a type is shown, and what it consists of if it is a dataclass of this package."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        (left, left_parts), (right, right_parts) = (_type(side, source) for side in (annotation.left, annotation.right))
        return f"{left} | {right}".replace("None", "null"), left_parts + right_parts
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        values = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        return f"{{{','.join(str(ast.literal_eval(value)) for value in values)}}}", []
    if isinstance(annotation, ast.Name) and (found := source.find(annotation.id)):
        home, name = found
        if name in home.assigned:
            return _type(home.assigned[name], home)
        if _is_dataclass(home.classes[name]):
            return name, _fields(home.classes[name], home)
    return ast.unparse(annotation), []


def _in_yaml(default: ast.expr | None) -> str | None:
    """A default as it is written in YAML; empty where it is an object, whose own parts tell theirs."""
    if default is None:
        return None
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return ""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def _described(docstring: str) -> dict[str, str]:
    """The texts under `Args:` of a Google-style docstring, by name."""
    section = re.search(r"^Args:\n(.*?)(?:\n\n\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if section is None:
        return {}
    pairs = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section[1], re.MULTILINE)
    return dict(pairs)


PROG = "deepspec fit"

OWN = {
    "run_dir": ("str", "runs/run", "folder of this run; made if missing"),
    "ckpt_path": ("str | null", "null", "continue from this checkpoint; `last`: where this run was"),
    "keep": ("{best,last}", "best", "which epoch's weights model.ckpt gets"),
    "overwrite": ("bool", "false", "replace an earlier run in run_dir"),
}
"""Keys of the run itself: type, default, description."""

GROUPS = {
    "data": ("deepspec.data.shards.datamodule", "SpectraDataModule", "where the spectra are"),
    "model": ("deepspec.training.module", "DeepClustering", "preprocessing, network, loss and optimizer"),
    "loss_schedule": ("deepspec.training.loss_schedule", "LossSchedule", "weights of the loss by epoch"),
    "ikmeans": ("deepspec.training.clustering_callback", "IKMeansCallback", "clusters that are looked for"),
    "clusterer": ("deepspec.clustering.config", "ClustererConfig", "what divides the latent points into clusters"),
    "tracking": ("deepspec.training.tracking_config", "TrackingConfig", "where a run is shown besides its folder"),
}
"""Keys that have keys of their own: the class that they build, and what they are about."""

LINKED = {"model.axis", "model.training_spectra", "data.seed", "ikmeans.seed", "ikmeans.clusterer"}
"""Parameters that are no keys: `FitCLI` links them to the data, to `seed_everything` and to `clusterer`."""

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
        above = [key.rpartition(".")[0] for key in keys]  # a key with keys of its own is one too
        hint = did_you_mean(under, dict.fromkeys([*GROUPS, *above, *keys]))
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
