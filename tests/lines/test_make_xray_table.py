"""The committed table of lines against a new one; needs xraylib."""

from importlib import resources

import pytest

pytest.importorskip("xraylib")

from deepspec.lines import make_xray_table


def test_the_committed_table_is_what_the_maker_makes():
    assert resources.files("deepspec.lines").joinpath("xray_lines.csv").read_text() == make_xray_table.line_list()
