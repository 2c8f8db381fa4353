"""The options of every verb that shares jobs out, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.workers.job import Job


@dataclass(frozen=True)
class Sharing:
    """Processes and devices that share several files.

    Args:
        workers: number of processes that share the files; default one for each GPU, or one.
        devices: GPUs for these processes: auto for all, how many, or their numbers such as 0,1.
        dask: address of a Dask scheduler, tcp://HOST:PORT, whose workers process the files; they must see the same
            files under the same names. local or local:N starts N workers on this machine. Needs the extra dask.
    """

    workers: int | None = None
    devices: str = "auto"
    dask: str | None = None

    @property
    def is_asked_for(self) -> bool:
        """Whether any of them was given."""
        return self != Sharing()

    def run(self, jobs: Sequence[Job], device: str, what: str) -> None:
        """Do the jobs, and tell how they do.

        Args:
            jobs: at least one.
            device: what they compute on: cpu, cuda, auto.
            what: what they are called, such as cubes.

        Raises:
            UserError: the options are impossible, or no job can be done.
            SystemExit: status 1 if some failed; 130 after Ctrl-C.
        """
        from deepspec.workers.pool import follow

        if self.dask is None:
            from deepspec.workers.devices import places
            from deepspec.workers.pool import run_in_processes

            outcomes = run_in_processes(jobs, places(self.workers, self.devices, device, len(jobs)))
        else:
            from deepspec.workers.dask_cluster import check_dask, run_on_dask

            if self.workers is not None or self.devices != "auto":
                raise UserError("--workers and --devices are for processes of this machine, not for --dask")
            check_dask(self.dask)
            outcomes = run_on_dask([job.anywhere() for job in jobs], self.dask)
        follow(outcomes, len(jobs), what)
