"""What the library says: in lines on standard error, unless a program wants it otherwise."""

import logging

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.notes import note


@pytest.fixture
def logger():
    logger = logging.getLogger("deepspec")
    level = logger.level
    yield logger
    logger.setLevel(level)


def test_a_note_is_a_line_on_standard_error(capsys):
    note("took 3 of 4 channels")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "took 3 of 4 channels\n")


def test_a_program_silences_them_or_sends_them_elsewhere(logger, tmp_path, capsys):
    logger.setLevel(logging.WARNING)
    note("nobody hears this")
    assert capsys.readouterr().err == ""
    logger.setLevel(logging.INFO)
    handler = logging.FileHandler(tmp_path / "notes.log")
    logger.addHandler(handler)
    note("into the file")
    logger.removeHandler(handler)
    handler.close()
    assert (tmp_path / "notes.log").read_text() == "into the file\n"


def test_what_a_reader_guessed_is_said_once_beside_logging_to_the_terminal(logger, tmp_path, capsys):
    root = logging.getLogger()
    handler = logging.StreamHandler()
    root.addHandler(handler)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).poisson(2, (5, 6, 64)).astype(np.uint16))
    try:
        read_cube(tmp_path / "a.npy").close()
    finally:
        root.removeHandler(handler)
    said = capsys.readouterr().err.splitlines()
    assert said
    assert len(said) == len(set(said))
