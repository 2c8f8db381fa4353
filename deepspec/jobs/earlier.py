"""Whether a job was done before: what its result was made from is recorded in it, and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepspec.data.fingerprint import read_request
from deepspec.errors import UserError
from deepspec.jobs.attempt import Finished
from deepspec.result_folder import recover_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def kept_result(
    file: Path,
    request: Mapping[str, Any],
    what: str,
    *,
    overwrite: bool,
    differs: Callable[[Mapping[str, Any]], list[str]] = lambda earlier: [],
) -> Finished | None:
    """An earlier result that is what would be made now.

    Args:
        file: of the result, with the record of `write_request`.
        request: what the result depends on.
        what: what the result is called, with its article, as in "an evaluation".
        overwrite: whether one that was made otherwise may be replaced.
        differs: names of what else is not as recorded; asked only where all of `request` is.

    Returns:
        None if it has to be made.

    Raises:
        UserError: it was made otherwise, is damaged or has lost files, and must not be replaced.
    """
    recover_folder(file.parent)
    try:
        earlier = read_request(file)
    except UserError as error:  # damaged
        if overwrite:
            return None
        raise UserError(f"{error}: --overwrite true does so") from error
    if earlier is None:
        return None
    changed = [name for name in request if earlier.get(name) != request[name]] or differs(earlier)
    lost = [name for name in earlier.get("files", []) if not (file.parent / name).is_file()]
    if not changed and lost and not overwrite:
        raise UserError(f"{file.parent} has lost {', '.join(lost)}; --overwrite true makes {what} anew")
    if not changed and not lost:
        return Finished(f"{file.parent} is kept, made before from the same files with the same options", kept=True)
    if overwrite:
        return None
    raise UserError(
        f"{file.parent} holds {what} that was made otherwise ({', '.join(changed)}); "
        "--overwrite true replaces it, or give another --out"
    )
