"""Tables of things by name that other packages can add to.

A package adds to a table by an entry point, in its `pyproject.toml`:

    [project.entry-points."deepspec.steps"]
    derivative = "mypackage.steps:Derivative"

and a notebook by `register`. What a table names by such a text, ours or theirs, is imported when it is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from deepspec.errors import UserError, did_you_mean

T = TypeVar("T")


class Extensible(Mapping[str, T], Generic[T]):
    """All that exists of one kind by name: our own, what was registered in this process, and what packages bring.

    Args:
        kind: what one of them is called in messages, such as `"preprocessing step"`.
        group: of the entry points, such as `"deepspec.steps"`.
        own: our own by name: the thing itself, or `"module:name"` where importing it takes time.
        check: called with the name and what somebody else brings; raises `UserError` or `TypeError` if it cannot serve.
    """

    def __init__(
        self, kind: str, group: str, own: Mapping[str, T | str], check: Callable[[str, T], None] | None = None
    ) -> None:
        self.kind, self.group = kind, group
        self._own = dict(own)
        self._check = check
        self._registered: dict[str, T] = {}
        self._loaded: dict[str, T] = {}

    def register(self, name: str, thing: T) -> T:
        """Add a thing for this process, in the place of an earlier one of this name that was registered too.

        Processes that are started anew (`segment --workers`, trials of a sweep, ranks) know only entry points.

        Raises:
            UserError: one of our own has the name, or the thing cannot serve.
        """
        if name in self._own:
            raise UserError(f"{self.kind} {name!r}: deepspec has one of this name; choose another name")
        if self._check is not None:
            self._check(name, thing)
        self._registered[name] = thing
        return thing

    def unregister(self, name: str) -> None:
        """Take away what `register` added."""
        del self._registered[name]

    def __getitem__(self, name: str) -> T:
        """The thing of this name.

        Raises:
            UserError: there is none (the message names the nearest), or the package that brings it fails.
        """
        if name in self._registered:
            return self._registered[name]
        if name not in self._loaded:
            own = self._own.get(name)
            if isinstance(own, str):
                module, _, attribute = own.partition(":")
                self._loaded[name] = getattr(import_module(module), attribute)
            elif own is not None:
                self._loaded[name] = own
            elif name in (points := self._points()):
                self._loaded[name] = self._from_package(points[name])
            else:
                raise UserError(f"no {self.kind} {name!r}{did_you_mean(name, self, otherwise='list')}")
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        """Names: our own first, in the order of the table."""
        return iter(dict.fromkeys([*self._own, *self._registered, *self._points()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._registered or name in self._points()

    @property
    def added(self) -> list[str]:
        """Names of what is not our own."""
        return [name for name in self if name not in self._own]

    def _points(self) -> dict[str, EntryPoint]:
        """Of installed packages; a name of ours stays ours."""
        found = _entry_points(self.group, tuple(sys.path))
        return {point.name: point for point in found if point.name not in self._own}

    def _from_package(self, point: EntryPoint) -> T:
        origin = f"{self.kind} {point.name!r} ({point.value}, of the package {point.dist.name if point.dist else '?'})"
        try:
            thing: T = point.load()
        except Exception as error:
            raise UserError(f"{origin} cannot be loaded: {type(error).__name__}: {error}") from error
        if self._check is not None:
            try:
                self._check(point.name, thing)
            except (TypeError, UserError) as error:
                raise UserError(f"{origin} cannot serve: {error}") from error
        return thing


@cache
def _entry_points(group: str, places: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Of one group; looking through the installed packages takes milliseconds, and some tables are asked per file.

    Args:
        group: which.
        places: where packages are looked for, so that a change of `sys.path` counts.
    """
    return tuple(entry_points(group=group))


def class_named(class_path: str, base: type, key: str) -> type:
    """The class that a configuration names by its full name.

    Args:
        class_path: such as `mypackage.networks.ConvNet`.
        base: what it has to be a subclass of.
        key: of the configuration, for messages.

    Raises:
        UserError: it cannot be imported, or is no such class. Nothing of it has been called then.
    """
    module, _, name = class_path.rpartition(".")
    if not module:
        raise UserError(f"{key}: expected the full name of a class, such as package.module.Class; got {class_path!r}")
    try:
        found = getattr(import_module(module), name, None)
    except Exception as error:
        raise UserError(
            f"{key}: {class_path} cannot be imported ({type(error).__name__}: {' '.join(str(error).split())}): install "
            "the package that has it, or add its folder to PYTHONPATH"
        ) from error
    if found is None:
        raise UserError(f"{key}: {class_path}: the module {module} has nothing of this name")
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(f"{key}: {class_path} is no subclass of {base.__module__.partition('.')[0]}'s {base.__name__}")
    return found
