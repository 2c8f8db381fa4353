import pytest

from deepspec.errors import UserError
from deepspec.workers.job import Outcome, attempt
from deepspec.workers.pool import follow
from tests.workers.fake import FakeJob


def outcomes(*states, closed=None):
    try:
        for number, state in enumerate(states):
            if state == "interrupt":
                raise KeyboardInterrupt
            yield Outcome(f"job{number}", state, "its text", notes="a note\n", seconds=2.6)
    finally:
        if closed is not None:
            closed.append(True)


def test_every_job_has_a_line_and_the_count_is_right(capsys):
    follow(outcomes("done", "kept"), 2, "jobs")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "[1/2] job0: its text (3 s)",
        "[2/2] job1: its text",
        "2 jobs: 1 done, 1 kept from before, 0 failed",
    ]
    assert printed.err.splitlines() == ["job0: a note", "job1: a note"]


def test_failures_are_listed_at_the_end_and_the_status_is_1(capsys):
    with pytest.raises(SystemExit, match="1"):
        follow(outcomes("failed", "done", "crashed"), 3, "jobs")
    printed = capsys.readouterr()
    assert "3 jobs: 1 done, 0 kept from before, 2 failed" in printed.out
    assert printed.err.splitlines()[-2:] == ["  job0: its text", "  job2: its text"]


def test_a_mistake_in_what_all_share_ends_everything():
    closed = []
    with pytest.raises(UserError, match="its text"):
        follow(outcomes("done", "refused", "done", closed=closed), 3, "jobs")
    assert closed


def test_an_interrupt_is_told_in_a_line(capsys):
    with pytest.raises(SystemExit, match="130"):
        follow(outcomes("done", "interrupt"), 3, "jobs")
    assert "stopped after 1 of 3 jobs" in capsys.readouterr().err


def test_attempts(tmp_path):
    def state(name):
        return attempt(FakeJob(name, str(tmp_path))).state

    assert [state(name) for name in ("a", "a", "mistake", "bug", "refused")] == [
        "done", "kept", "failed", "crashed", "refused"
    ]  # fmt: skip
