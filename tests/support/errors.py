"""What a command says of a mistake."""

import pytest


def error_of(capsys, call):
    """The one line on standard error that a call says before it ends with status 2."""
    with pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 1
    return lines[0]
