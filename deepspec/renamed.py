"""Words of earlier versions that scikit-learn, torch and Lightning have others for; the old ones are still read.

`WORDS` is the only list. A configuration that uses an old word is read with one line about it, and so is a call.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Say = Callable[[str], None]

WORDS = {"optimiser": "optimizer", "restarts": "n_init", "iterations": "max_iter", "centres": "cluster_centers"}
"""Old word -> new word, of keywords and of attributes."""

KEYS = ("model.optimiser", "model.objective.iterations", "ikmeans.restarts", "ikmeans.iterations", "clusterer.restarts")
"""Old keys of `fit`. The last word of each is in `WORDS`; a key below a class of the user's own is the user's."""

OPTIONS = ("restarts",)
"""Old options of the verbs that segment."""

_Call = TypeVar("_Call", bound="Callable[..., Any]")
_Class = TypeVar("_Class", bound=type)


def new_key(key: str, keys: Iterable[str] = KEYS) -> str:
    """The key in today's words.

    >>> new_key("model.optimiser.lr"), new_key("ikmeans.restarts"), new_key("model.network.init_args.iterations")
    ('model.optimizer.lr', 'ikmeans.n_init', 'model.network.init_args.iterations')
    """
    for old in keys:
        if key == old or key.startswith(f"{old}."):
            parents, _, word = old.rpartition(".")
            return f"{parents}{'.' if parents else ''}{WORDS[word]}{key[len(old) :]}"
    return key


def in_new_words(config: Mapping[str, Any], say: Say | None = None, keys: Iterable[str] = KEYS) -> dict[str, Any]:
    """A configuration in today's words, with its keys dotted or nested as they are.

    Args:
        config: keys, not changed.
        say: gets one line about all old keys. None says nothing, for what an earlier version wrote itself.
        keys: that are old.

    >>> in_new_words({"model": {"optimiser": {"lr": 1.0}}, "ikmeans.restarts": 2}, print)
    old names of keys still work: model.optimiser is now model.optimizer, ikmeans.restarts is now ikmeans.n_init
    {'model': {'optimizer': {'lr': 1.0}}, 'ikmeans.n_init': 2}
    """
    found: dict[str, str] = {}
    renamed = renamed_keys(config, found, keys)
    if say is not None:
        tell("keys", found, say)
    return renamed


def renamed_keys(config: Mapping[str, Any], found: dict[str, str], keys: Iterable[str] = KEYS) -> dict[str, Any]:
    """As `in_new_words`, which adds each old key and its new name to `found` and says nothing."""
    return _renamed(config, "", tuple(keys), found)


def _renamed(config: Mapping[str, Any], prefix: str, keys: tuple[str, ...], found: dict[str, str]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for name, value in config.items():
        old = f"{prefix}{name}"
        new = new_key(old, keys)
        if new != old:
            found[old] = new
        below = any(key.startswith(f"{old}.") for key in keys)
        inner = _renamed(value, f"{old}.", keys, found) if below and isinstance(value, dict) else value
        place = new[len(prefix) :]
        # The new name wins over the old one beside it, whichever comes first.
        if new == old or place not in config:
            renamed[place] = inner
    return renamed


def renamed_options(
    args: Iterable[str], found: dict[str, str], keys: Iterable[str] = KEYS, before: str = ""
) -> list[str]:
    """A command line in today's words.

    >>> renamed_options(["cube.h5", "--restarts", "5"], {}, OPTIONS)
    ['cube.h5', '--n_init', '5']

    Args:
        args: the words.
        found: gets each old option with its new name.
        keys: that are old.
        before: what stands between the two dashes and a key, as `overrides.` of a sweep.
    """
    start = f"--{before}"
    words = []
    for arg in args:
        option, equals, value = arg.partition("=")
        key = option[len(start) :]
        new = new_key(key, keys) if option.startswith(start) else key
        if new != key:
            found[key] = new
            arg = f"{start}{new}{equals}{value}"
        words.append(arg)
    return words


def tell(what: str, found: Mapping[str, str], say: Say) -> None:
    """Say in one line which old names were used, if any were.

    >>> tell("options", {"restarts": "n_init"}, print)
    old names of options still work: restarts is now n_init
    """
    if found:
        say(f"old names of {what} still work: " + ", ".join(f"{old} is now {new}" for old, new in found.items()))


def deprecated(text: str) -> None:
    """Warn whoever called deepspec from Python."""
    warnings.warn(text, DeprecationWarning, stacklevel=_outside())


def takes_old_words(call: _Call) -> _Call:
    """Decorate a call whose keywords had other names: an old one is taken, with a `DeprecationWarning`."""
    olds = {old: new for old, new in WORDS.items() if new in inspect.signature(call).parameters}

    @functools.wraps(call)
    def taking(*args: Any, **keywords: Any) -> Any:
        used = {old: olds[old] for old in olds if old in keywords}
        if used:
            for old, new in used.items():
                if new in keywords:
                    raise TypeError(f"{call.__qualname__}: {old} is the old name of {new}: give one of them")
                keywords[new] = keywords.pop(old)
            tell(f"keywords of {call.__qualname__.removesuffix('.__init__')}", used, deprecated)
        return call(*args, **keywords)

    return taking  # type: ignore[return-value]


def has_old_words(kind: _Class) -> _Class:
    """Decorate a class whose arguments and attributes had other names: the old ones are read, with a warning."""
    names = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    kind.__init__ = takes_old_words(kind.__init__)  # type: ignore[misc]
    for old, new in WORDS.items():
        if new in names:
            setattr(kind, old, property(functools.partial(_attribute, old=old, new=new)))
    return kind


def _attribute(owner: object, old: str, new: str) -> Any:
    tell(f"attributes of {type(owner).__name__}", {old: new}, deprecated)
    return getattr(owner, new)


def _outside() -> int:
    """How many calls up the first one is that is not of this package, so that Python shows its line."""
    frame, depth = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "deepspec":
        frame, depth = frame.f_back, depth + 1
    return depth
