"""Jobs that take no time."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from deepspec.errors import UserError
from deepspec.files import complete_folder
from deepspec.workers.job import Finished, RefusedError


@dataclass(frozen=True)
class FakeJob:
    """Does what its name says."""

    name: str
    folder: str

    def run(self):
        print("said", self.name)
        place = Path(self.folder, self.name)
        if place.exists():
            return Finished("it is there", kept=True)
        if self.name.startswith("mistake"):
            raise UserError(f"{self.name}: not good")
        if self.name.startswith("bug"):
            raise ZeroDivisionError("by zero")
        if self.name.startswith("refused"):
            raise RefusedError("no such option")
        marker = Path(self.folder, f"{self.name}.pid")
        if self.name.startswith("deadly") or (self.name.startswith("once") and not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with complete_folder(place):
            marker.write_text(str(os.getpid()))
            if self.name.startswith("long") and not Path(self.folder, "awake.txt").exists():
                time.sleep(100)
        return Finished(os.environ.get("CUDA_VISIBLE_DEVICES", "no GPU"))
