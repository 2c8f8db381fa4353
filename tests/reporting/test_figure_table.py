"""What any table of figures does, on one of numbers."""

import pytest

from deepspec.drawing import new_figure
from deepspec.errors import UserError
from deepspec.reporting import FIGURES, ReportFigure
from deepspec.reporting.figure_table import draw_table, figure_table, file_names, save_table
from deepspec.reporting.outputs import output_names, parse_exports


def draw(number):
    figure = new_figure(2, 2)
    figure.add_subplot().set_title(str(10 / number))
    return figure


@pytest.fixture
def table():
    return figure_table(
        "deepspec.test_figures",
        {
            "one": ReportFigure("First", draw),
            "even": ReportFigure("Even", draw, when=lambda number: number % 2 == 0),
            "asked": ReportFigure("On request", draw, when=lambda number: number > 5, export="more", missing="too low"),
        },
        sections=("top",),
    )


def test_what_there_is_to_draw_is_drawn_in_the_order_of_the_table(table, tmp_path):
    assert [path.name for path in save_table(table, 4, tmp_path, ["png", "svg"])] == [
        "one.png", "one.svg", "even.png", "even.svg",
    ]  # fmt: skip
    assert [path.name for path in save_table(table, 7, tmp_path, ["png"], {"more"})] == ["one.png", "asked.png"]
    assert list(draw_table(table, 7)) == ["one"]
    assert draw_table(table, 4)["even"].axes[0].get_title() == "2.5"


def test_what_was_asked_for_in_vain_is_said(table, tmp_path, caplog):
    save_table(table, 4, tmp_path, ["png"])
    assert not caplog.records
    save_table(table, 4, tmp_path, ["png"], {"more"})
    assert caplog.messages == ["too low"]
    assert not (tmp_path / "asked.png").exists()


def test_a_figure_of_ours_that_fails_fails_and_one_of_others_is_left_out(table, tmp_path, caplog):
    table.register("theirs", ReportFigure("Theirs", lambda number: 1 / (number - 4)))
    assert [path.stem for path in save_table(table, 4, tmp_path, ["png"])] == ["one", "even"]
    assert caplog.messages == ["no figure 'theirs', of another package: it fails with ZeroDivisionError: "
                               "division by zero"]  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        save_table(table, 0, tmp_path, ["png"])


def test_what_is_no_figure_is_refused(table):
    with pytest.raises(TypeError, match=r"expected a deepspec.reporting.ReportFigure, got a function"):
        table.register("mine", draw)
    with pytest.raises(UserError, match=r"'../up': its files have this name: use small letters"):
        table.register("../up", ReportFigure("", draw))
    with pytest.raises(UserError, match="section: expected empty or top, got 'bottom'"):
        table.register("mine", ReportFigure("", draw, section="bottom"))
    with pytest.raises(UserError, match="deepspec has one of this name"):
        table.register("one", ReportFigure("", draw))


def test_files_and_exports_follow_from_the_table(tmp_path, monkeypatch):
    assert file_names(["one"]) == {"one.png", "one.svg", "one.pdf"}
    monkeypatch.setattr(FIGURES, "_registered", {})
    FIGURES.register("sizes", ReportFigure("Sizes", draw, export="sizes"))
    assert {"sizes.png", "sizes.pdf", "labels.png", "labels.tif"} <= output_names()
    assert parse_exports("sizes", tmp_path / "a.h5", None) == {"sizes"}
    assert "sizes" in parse_exports("all", tmp_path / "a.h5", None)
    with pytest.raises(UserError, match=r"expected auto, none, all, or some of report, .*, sizes with commas"):
        parse_exports("size", tmp_path / "a.h5", None)
