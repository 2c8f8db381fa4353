"""Jobs on the workers of a Dask cluster, one at a time on each."""

from __future__ import annotations

import importlib
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from deepspec.errors import UserError
from deepspec.workers.job import Outcome, attempt

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from deepspec.workers.job import Job


PATIENCE = 60
"""Seconds to wait for the scheduler, and then for its first worker."""

LOCAL_WORKERS = 2
"""Of `local` without a number."""


def check_dask(address: str) -> None:
    """Refuse what cannot be an address, and a machine without Dask.

    Raises:
        UserError: saying what to install, or what an address looks like.
    """
    try:
        _distributed()
    except ModuleNotFoundError as error:
        raise UserError(f"--dask needs Dask ({error}): pip install 'deepspec[dask]'") from None
    _local_workers(address)


def run_on_dask(jobs: Sequence[Job], address: str) -> Generator[Outcome, None, None]:
    """Run jobs on a cluster, as many at once as it has workers, which may come and go.

    A job whose worker dies is run again on another, until the scheduler gives up (its setting `allowed-failures`,
    by default after 3 more attempts).

    Args:
        jobs: what to do; they must find their files from any worker.
        address: of the scheduler, such as tcp://host:8786; or local, or local:N, for N processes on this machine.

    Yields:
        What became of each job, as they end. To stop, close the generator: what waits is withdrawn.

    Raises:
        UserError: there is no such scheduler, or it has no workers.
    """
    waiting = deque(jobs)
    names: dict[str, str] = {}
    with ExitStack() as stack:
        client = _connect(address, stack)
        ended = _distributed().as_completed()
        while waiting or names:
            free = max(1, len(client.nthreads())) - len(names)
            for job in [waiting.popleft() for _ in range(min(free, len(waiting)))]:
                future = client.submit(attempt, job, pure=False)
                names[future.key] = job.name
                ended.add(future)
            future = next(ended)
            yield _outcome(future, names.pop(future.key))


def _outcome(future: Any, name: str) -> Outcome:
    error = future.exception()
    if error is None:
        found: Outcome = future.result()
        return found
    return Outcome(name, "crashed", " ".join(f"{type(error).__name__}: {error}".split()))


def _connect(address: str, stack: ExitStack) -> Any:
    distributed = _distributed()
    count = _local_workers(address)
    if count:
        # One thread each: a process does one job at a time.
        # For this machine alone: the page that shows the work would else be open to the network.
        local = distributed.LocalCluster(
            n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        )
        return stack.enter_context(distributed.Client(stack.enter_context(local)))
    try:
        client = stack.enter_context(distributed.Client(address, timeout=PATIENCE))
    except (OSError, ValueError) as error:  # a timeout is an OSError
        reason = str(error).splitlines()[0]
        raise UserError(f"--dask {address}: no Dask scheduler answers there ({reason})") from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise UserError(f"--dask {address}: the scheduler has no workers; start some with `dask worker`") from None
    return client


def _distributed() -> Any:
    """dask.distributed, half of whose functions have no types; it takes seconds to import."""
    return importlib.import_module("dask.distributed")


def _local_workers(address: str) -> int:
    """How many processes of this machine an address asks for; 0 for the address of a scheduler."""
    kind, _, number = address.partition(":")
    if kind == "local" and (not number or number.isdecimal()) and number != "0":
        return int(number) if number else LOCAL_WORKERS
    if "://" in address:
        return 0
    raise UserError(f"--dask {address}: expected tcp://HOST:PORT of a scheduler, local or local:N")
