import pytest

from deepspec.errors import UserError
from deepspec.result_folder import check_result_folder, complete_folder


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
    (tmp_path / ".a.elsewhere.1.part").mkdir()
    with complete_folder(place) as part:
        assert [path.name for path in tmp_path.iterdir()] == [part.name]
        held = tmp_path / ".a.elsewhere.2.part"
        part.rename(held)  # as if another process wrote there
        with complete_folder(place):
            assert held.is_dir()
        held.rename(part)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
