"""`python -m tests.workers.fake_command FOLDER NAME...`: do fake jobs in two processes."""

import os
import signal
import sys

from deepspec.workers.pool import follow, run_in_processes
from tests.workers.fake import FakeJob

if __name__ == "__main__":
    # A shell without job control has what it starts in the background ignore Ctrl-C, tests included.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder, *names = sys.argv[1:]
    jobs = [FakeJob(name, folder) for name in names]
    follow(run_in_processes(jobs, [dict(os.environ)] * 2), len(jobs), "jobs")
