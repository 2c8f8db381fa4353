"""Tables that other packages add to: by entry points of what is installed, and by hand."""

import sys

import pytest

from deepspec.errors import UserError
from deepspec.extensions import Extensible


def table(**options):
    return Extensible("colour", "deepspec.test_colours", {"red": 1, "join": "os.path:join"}, **options)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with three entry points, one of which cannot be imported and one of which is ours."""
    (tmp_path / "paints.py").write_text("BLUE = 2\n")
    info = tmp_path / "paints-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paints\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[deepspec.test_colours]\nblue = paints:BLUE\nbroken = paints:GREEN\nred = paints:BLUE\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("paints", None)


def test_an_installed_package_adds_to_the_table_and_is_imported_when_asked_for(package):
    colours = table()
    assert list(colours) == ["red", "join", "blue", "broken"]
    assert "paints" not in sys.modules
    assert colours["blue"] == 2
    assert "paints" in sys.modules


def test_our_own_keep_their_names(package):
    assert table()["red"] == 1
    with pytest.raises(UserError, match="deepspec has one of this name"):
        table().register("red", 3)


def test_our_own_may_be_imported_late():
    import os

    assert table()["join"] is os.path.join


def test_a_package_that_fails_is_named(package):
    with pytest.raises(UserError, match=r"'broken' \(paints:GREEN, of the package paints\) cannot be loaded: Attr"):
        table()["broken"]


def test_what_cannot_serve_is_refused(package):
    def whole(name, thing):
        if not isinstance(thing, str):
            raise TypeError("a colour is a text")

    with pytest.raises(UserError, match=r"of the package paints.* cannot serve: a colour is a text"):
        table(check=whole)["blue"]
    with pytest.raises(TypeError, match="a colour is a text"):
        table(check=whole).register("green", 4)


def test_registered_by_hand():
    colours = table()
    assert colours.register("green", 4) == 4
    assert colours["green"] == 4
    assert "green" in colours
    assert "green" not in table()


def test_a_name_that_does_not_exist_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no colour 'rad' \(did you mean 'red'\?\)"):
        table()["rad"]
    with pytest.raises(UserError, match="no colour 'x'; expected one of red, join"):
        table()["x"]
