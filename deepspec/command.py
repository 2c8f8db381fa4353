"""Turn a typed function into a command: arguments from its signature, one clear error for a mistake."""

from __future__ import annotations

import atexit
import dataclasses
import gc
import inspect
import itertools
import os
import re
import select
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import jsonargparse
import yaml

from deepspec.errors import UserError, did_you_mean, failure_of_the_system, without_passwords
from deepspec.notes import note
from deepspec.renamed import KEYS, OPTIONS, renamed_keys, renamed_options, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence


class OneLineErrors:
    """Mixin for a jsonargparse parser: errors are one line, exit with status 2 and name the nearest valid key."""

    prog: str
    _actions: list[argparse.Action]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # An abbreviation that is accepted today means another key, or none, when a key is added.
        super().__init__(*args, **({"allow_abbrev": False} | kwargs))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse with `message` in one line and a suggestion for an unknown key."""
        known = {action.dest for action in self._actions}
        self.refuse(" ".join(message.split()) + nearest_key(message, known))

    def refuse(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        fail(self.prog, message)


class CommandParser(OneLineErrors, jsonargparse.ArgumentParser):
    """The parser of a verb."""


def nearest_key(message: str, known: set[str]) -> str:
    """A suggestion for the unknown key that a parser's message names; empty if it names none or none is near.

    >>> nearest_key("unrecognized arguments: --clustrs refit", {"clusters", "seed"})
    " (did you mean 'clusters'?)"
    >>> nearest_key("Key 'trainer.max_epoch' is not expected", {"trainer.max_epochs", "trainer.max_steps"})
    " (did you mean 'trainer.max_epochs'?)"
    >>> nearest_key("unrecognized arguments: --trainer.max_ep 3", {"trainer.max_epochs", "trainer.max_steps"})
    " (did you mean 'trainer.max_epochs'?)"
    >>> nearest_key("Group 'trainer' does not accept option 'max_epoch'", {"trainer.max_epochs"})
    " (did you mean 'trainer.max_epochs'?)"
    """
    # jsonargparse writes "unrecognized arguments: --foo" of the command line and "Key 'foo.bar' is not expected",
    # "Option 'foo' is not accepted" or "Group 'foo' does not accept option 'bar'" of a config file.
    message = re.sub(r"Group '([\w.]+)' does not accept option '([\w.]+)'", r"Key '\1.\2'", message)
    for found in re.findall(r"--([\w.]+)|(?:[Kk]ey|Option) ['\"]([\w.]+)['\"]", message):
        key = next(filter(None, found))
        begun = sorted(name for name in known if name.startswith(key))  # an abbreviation
        hint = f" (did you mean {begun[0]!r}?)" if begun else did_you_mean(key, sorted(known))
        if key not in known and hint:
            return hint
    return ""


def fail(prog: str, message: str, status: int = 2) -> NoReturn:
    """Print one error line to standard error and exit."""
    sys.stderr.write(f"{prog}: error: {without_passwords(message)}\n")
    raise SystemExit(status)


NOBODY_READS = 141
"""Exit status of a command whose output is not read to its end, as in `deepspec ... | head`: 128 + SIGPIPE."""


def _nobody_reads() -> bool:
    """Whether the reader of standard output has gone; what is still to be written then goes nowhere."""
    if not hasattr(select, "poll"):
        return False
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # no file, as in a notebook
        return False
    pipe = select.poll()
    pipe.register(number, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in pipe.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    return True


OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""Python's own 700 means hundreds of searches for unreachable objects, in vain, while torch is loaded."""


@contextmanager
def as_command(prog: str) -> Iterator[None]:
    """What every command does around its work: `one_line_errors`, and little collecting of garbage.

    Loading torch and Lightning makes half a million objects that stay. Looking through them again and again while they
    are made, and once more at the very end, is a quarter of the time of a command that does nothing else.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *thresholds[1:])
    atexit.register(gc.freeze)  # what is left to the end of the process goes with it
    try:
        with one_line_errors(prog):
            yield
    finally:
        gc.set_threshold(*thresholds)


@contextmanager
def one_line_errors(prog: str) -> Iterator[None]:
    """Turn what the user or the system has to mend into one line and an exit status; anything else is a bug of ours.

    Raises:
        SystemExit: status 2 after a `UserError` or a failure of the system, 1 if the disk is full, 141 without a word
            where nobody reads the output any more.
    """
    try:
        yield
    except UserError as error:
        found = failure_of_the_system(error.__cause__) if error.__cause__ is not None else None
        fail(prog, str(error), 1 if found is not None and found[1] == 1 else 2)
    except UnicodeDecodeError as error:
        wrong = f"byte {error.object[error.start]:#04x} at place {error.start}"
        fail(prog, f"a configuration or another text is not in UTF-8 ({wrong}): save it in that encoding")
    except BrokenPipeError as error:
        if not _nobody_reads():
            fail(prog, *(failure_of_the_system(error) or (str(error), 2)))
        raise SystemExit(NOBODY_READS) from None
    except Exception as error:
        found = failure_of_the_system(error)
        if found is None:
            raise
        fail(prog, *found)


def join_numbers(args: Sequence[str]) -> list[str]:
    """Write `--k 3 10` as `--k [3,10]`, the only form that jsonargparse reads into a tuple.

    >>> join_numbers(["cube.h5", "--k", "3", "10", "--seed", "1"])
    ['cube.h5', '--k', '[3,10]', '--seed', '1']
    """
    joined: list[str] = []
    rest = list(args)
    while rest:
        joined.append(rest.pop(0))
        numbers = list(itertools.takewhile(_is_number, rest)) if joined[-1].startswith("--") else []
        if len(numbers) > 1:
            joined.append(f"[{','.join(numbers)}]")
            del rest[: len(numbers)]
    return joined


def join_signs(args: Sequence[str]) -> list[str]:
    """Write `--axis -0.069:29.8:keV` as `--axis=-0.069:29.8:keV`: argparse takes what begins with - for an option.

    It knows bare negative numbers, which stay as they are.

    >>> join_signs(["cube.h5", "--axis", "-0.069:29.8:keV", "--level", "-1", "--out", "x"])
    ['cube.h5', '--axis=-0.069:29.8:keV', '--level', '-1', '--out', 'x']
    """
    joined: list[str] = []
    for arg in args:
        if re.match(r"-[\d.]", arg) and not _is_number(arg) and joined and re.fullmatch(r"--\w[^=]*", joined[-1]):
            joined[-1] += f"={arg}"
        else:
            joined.append(arg)
    return joined


def complete_flags(args: Sequence[str], switches: Collection[str]) -> list[str]:
    """Write `--verify` as `--verify true` where the value is left out.

    >>> complete_flags(["out", "--verify", "--seed", "1", "--overwrite", "false"], {"verify", "overwrite"})
    ['out', '--verify', 'true', '--seed', '1', '--overwrite', 'false']
    """
    complete: list[str] = []
    for arg, following in itertools.zip_longest(args, args[1:], fillvalue=""):
        complete.append(arg)
        if arg.removeprefix("--") in switches and arg.startswith("--") and following not in ("true", "false"):
            complete.append("true")
    return complete


def underscored(args: Sequence[str], switches: Collection[str]) -> list[str]:
    """Write `--refine-axis` as `--refine_axis`, for flags that are known.

    >>> underscored(["a-b.h5", "--refine-axis", "--out", "--x-y"], {"refine_axis"})
    ['a-b.h5', '--refine_axis', '--out', '--x-y']
    """
    spelt = {f"--{switch.replace('_', '-')}": f"--{switch}" for switch in switches}
    return [spelt.get(arg, arg) for arg in args]


def in_new_words(args: Sequence[str], keys: Sequence[str] = KEYS) -> list[str]:
    """A command line in today's words, with one line on standard error about the old names in it and in its files.

    A file with old names is replaced by its content, which the parsers take in its place; one that cannot be read is
    left to them.

    Args:
        args: the words, where `--config` has paths.
        keys: old keys and options.
    """
    found: dict[str, str] = {}
    words: list[str] = []
    rest = renamed_options(args, found, keys)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        group = option.removeprefix("--")
        within = "" if option in ("--config", "-c") else f"{group}."
        if not (within == "" or any(key.startswith(within) for key in keys)) or not (equals or rest):
            words.append(word)
            continue
        given = value if equals else rest.pop(0)
        told = _content_in_new_words(given, within, found, keys)
        words += [f"{option}={told}"] if equals else [option, told]
    if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0":
        tell("settings", found, note)  # torchrun and SLURM start every rank with the same words
    return words


def _content_in_new_words(given: str, within: str, found: dict[str, str], keys: Sequence[str]) -> str:
    """YAML, or the path of a file of it, which is below the key `within`: as it is, if it has no old names."""
    try:
        text = given if "\n" in given or given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8")
        # The parsers' own loader: to YAML 1.1 as PyYAML reads it 1e-3 is a text.
        config = jsonargparse.get_loader("yaml")(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return given
    if not isinstance(config, dict):
        return given
    old: dict[str, str] = {}
    renamed = renamed_keys({f"{within}{key}": value for key, value in config.items()}, old, keys)
    found |= old
    if not old:
        return given
    return yaml.safe_dump({key.removeprefix(within): value for key, value in renamed.items()}, sort_keys=False)


def in_brackets(args: Sequence[str], lists: Collection[str]) -> list[str]:
    """Write `--levels 0.3` as `--levels [0.3]`, for options that are lists.

    >>> in_brackets(["--levels", "0.3", "--seed", "1"], {"levels"})
    ['--levels', '[0.3]', '--seed', '1']
    >>> in_brackets(["--levels=[0.3,0.4]", "--levels", "[0.5]", "--levels", "null"], {"levels"})
    ['--levels=[0.3,0.4]', '--levels', '[0.5]', '--levels', 'null']
    """
    named = {f"--{name}" for name in lists}
    alone = [
        before in named and word[:1] not in ("[", "-") and word != "null"
        for before, word in itertools.pairwise(["", *args])
    ]
    return [f"[{word}]" if bare else word for word, bare in zip(args, alone, strict=True)]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None


def say_once(parser: argparse.ArgumentParser) -> None:
    """Give a group of options another title where jsonargparse repeats the first sentence of the description there."""
    said = " ".join((parser.description or "").split())
    for shown in parser._action_groups:
        title = " ".join((shown.title or "").split()).rstrip(".")
        if title and said.startswith(title):
            shown.title = "options of its own"


def _described(text: str, parameter: str) -> str:
    r"""What a Google-style docstring says of a parameter.

    >>> _described("Draw.\n\nArgs:\n    cubes: the files,\n        or folders.\n    out: where to.", "cubes")
    'the files, or folders.'
    """
    found = re.search(rf"^ +{parameter}: (.*(?:\n {{5,}}.*)*)", text, re.MULTILINE)
    return "" if found is None else " ".join(found[1].split())


def run_command(
    function: Callable[..., None],
    *,
    prog: str,
    positional: str,
    many: bool = False,
    args: Sequence[str] | None = None,
    groups: Mapping[str, type] | None = None,
) -> None:
    """Parse the command line by `function`'s signature and docstring, then call it.

    Every keyword of the function is an option that a `--config` file can also set; `--print_config` shows the
    resolved values.

    Args:
        function: a typed function; its Google-style docstring supplies the help texts.
        prog: the name shown in usage and errors, for example `deepspec segment`.
        positional: the parameter given without a flag, for example `cube`.
        many: whether that parameter takes one or more values (then it is a list).
        args: the command line without the program's name; default `sys.argv[1:]`.
        groups: parameters of the function that are dataclasses, which several verbs share: the user gives their fields
            like any other option.

    Raises:
        SystemExit: after an invalid command line, or as `one_line_errors`.
    """
    text = inspect.getdoc(function) or ""
    parser = CommandParser(prog=prog, description=text.partition("\nArgs:")[0].strip())
    parser.add_argument("--config", action="config", help="YAML file with any of the options below")
    name, described = positional.upper(), _described(text, positional)
    if many:
        parser.add_argument(positional, nargs="+", type=str, help=described, metavar=name)
    else:
        parser.add_argument(positional, type=str, help=described, metavar=name)
    groups = groups or {}
    parser.add_function_arguments(function, skip={positional, *groups})
    for group in groups.values():
        parser.add_class_arguments(group)
    say_once(parser)
    annotations = {name: parameter.annotation for name, parameter in inspect.signature(function).parameters.items()}
    annotations |= {field.name: field.type for group in groups.values() for field in dataclasses.fields(group)}
    switches = {name for name, annotation in annotations.items() if annotation == "bool"}
    lists = {name for name, annotation in annotations.items() if str(annotation).startswith("list[")} - {positional}
    words = underscored(sys.argv[1:] if args is None else args, switches)
    given = complete_flags(in_brackets(join_numbers(join_signs(words)), lists), switches)
    with as_command(prog):
        given = in_new_words(given, OPTIONS)
        values: dict[str, Any] = parser.parse_args(given).as_dict()
        values.pop("config", None)
        for parameter, group in groups.items():
            values[parameter] = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
        function(**values)
