import subprocess
import sys

import pytest

from deepspec.errors import UserError
from deepspec.files import check_result_folder, claimed_folder, complete_folder, locked, recover_folder

CLAIM = """
import sys
from pathlib import Path
from deepspec.files import claimed_folder
with claimed_folder(Path(sys.argv[1])):
    pass
"""


def test_a_folder_appears_when_it_is_complete(tmp_path):
    place = tmp_path / "a" / "b"
    with complete_folder(place) as part:
        (part / "x.txt").write_text("1")
        assert not place.exists()
    assert (place / "x.txt").read_text() == "1"
    with complete_folder(place) as part:
        (part / "y.txt").write_text("2")
    assert [path.name for path in place.iterdir()] == ["y.txt"]


def test_nothing_is_left_after_an_error(tmp_path):
    place = tmp_path / "a"
    with complete_folder(place) as part:
        (part / "x.txt").write_text("1")
    with pytest.raises(ZeroDivisionError), complete_folder(place):
        _ = 1 / 0
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (place / "x.txt").exists()


def test_what_may_be_replaced(tmp_path):
    place = tmp_path / "a"
    check_result_folder(place, {"x.txt"}, "a thing", overwrite=False)
    place.mkdir()
    check_result_folder(place, {"x.txt"}, "a thing", overwrite=False)
    (place / "x.txt").write_text("1")
    with pytest.raises(UserError, match="holds a thing of an earlier run; --overwrite true"):
        check_result_folder(place, {"x.txt"}, "a thing", overwrite=False)
    check_result_folder(place, {"x.txt"}, "a thing", overwrite=True)
    (place / "mine.txt").write_text("1")
    with pytest.raises(UserError, match=r"something else than a thing \(mine.txt\)"):
        check_result_folder(place, {"x.txt"}, "a thing", overwrite=True)
    with pytest.raises(UserError, match="is a file"):
        check_result_folder(place / "x.txt", {"x.txt"}, "a thing", overwrite=True)


def test_what_a_killed_process_left_is_cleared_but_not_what_another_writes(tmp_path):
    place = tmp_path / "a"
    left, held = tmp_path / ".a.elsewhere.1.part", tmp_path / ".a.elsewhere.2.part"
    left.mkdir()
    with complete_folder(place) as part:
        assert [path.name for path in tmp_path.iterdir()] == [part.name]
    held.mkdir()
    with locked(held), pytest.raises(UserError, match="another process is writing this folder"), complete_folder(place):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [held.name, "a"]
    with complete_folder(place):
        assert not held.exists()


def test_an_earlier_result_that_was_moved_aside_comes_back(tmp_path):
    place, aside = tmp_path / "a", tmp_path / ".a.host.1.old"
    aside.mkdir()
    (aside / "x.txt").write_text("1")
    recover_folder(place)
    assert (place / "x.txt").read_text() == "1"
    aside.mkdir()  # as if it was killed a moment later
    recover_folder(place)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_claim_is_held_while_the_result_is_worked_out(tmp_path):
    place = tmp_path / "new" / "a"
    with claimed_folder(place):
        other = subprocess.run([sys.executable, "-c", CLAIM, str(place)], capture_output=True, text=True, check=False)
        assert "another process is writing this folder" in other.stderr
        with complete_folder(place) as part:
            (part / "x.txt").write_text("1")
    assert [path.name for path in place.parent.iterdir()] == ["a"]
    with pytest.raises(ZeroDivisionError), claimed_folder(tmp_path / "other" / "b"):
        _ = 1 / 0
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
