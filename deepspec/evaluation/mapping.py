"""Merge classes of a reference that the measurement cannot tell apart, as X-rays two ochres or two organic reds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepspec.evaluation.reference import Reference


def read_mapping(path: str | Path) -> dict[str, list[str]]:
    """Read a YAML file of new names and the classes they take the place of: `iron earths: [4, 7]`.

    Raises:
        UserError: the file is missing or holds something else.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict) or not all(isinstance(old, list) and old for old in content.values()):
        raise UserError(f"{path}: expected lines of NEW: [OLD, OLD, ...], as in 'iron earths: [4, 7]'")
    return {str(new): [str(name) for name in old] for new, old in content.items()}


def merge_classes(reference: Reference, mapping: Mapping[str, Sequence[str]]) -> Reference:
    """Give classes a common name; classes that are not named stay.

    Args:
        reference: its class names are what the mapping speaks of.
        mapping: new names and the classes that each takes the place of.

    Returns:
        The reference with fewer classes, and a note for each merger.

    Raises:
        UserError: a class is not there or is named twice, or a new name is already that of a class that stays.
    """
    new_names: dict[str, str] = {}
    for new, olds in mapping.items():
        for old in olds:
            if old not in reference.names:
                raise UserError(
                    f"mapping '{new}': there is no class '{old}' in {reference.source}; it has "
                    f"{', '.join(reference.names)}"
                )
            if old in new_names:
                raise UserError(f"mapping: class '{old}' is in '{new_names[old]}' and again in '{new}'")
            new_names[old] = new
    for name in reference.names:
        if name not in new_names and name in mapping:
            raise UserError(f"mapping: '{name}' is a class that is not in its own list; add it there, or rename")
    merged = [new_names.get(name, name) for name in reference.names]
    names = tuple(dict.fromkeys(merged))
    number = np.array([*(names.index(name) for name in merged), -1])  # the last for label -1
    notes = tuple(
        f"classes {', '.join(olds)} were merged into '{new}' before matching" for new, olds in mapping.items()
    )
    return replace(
        reference, labels=number[reference.labels], names=names, colours=None, notes=(*reference.notes, *notes)
    )
