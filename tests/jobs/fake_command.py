"""`python -m tests.jobs.fake_command FOLDER NAME...`: do fake jobs in two processes."""

import os
import sys

from deepspec.jobs.follow import follow
from deepspec.jobs.processes import run_in_processes
from tests.jobs.fake import FakeJob

if __name__ == "__main__":
    folder, *names = sys.argv[1:]
    jobs = [FakeJob(name, folder) for name in names]
    follow(run_in_processes(jobs, [dict(os.environ)] * 2), len(jobs), "jobs")
