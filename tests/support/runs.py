"""What a run has left in its folder."""

import csv


def rows_of(run_dir):
    """Rows of metrics.csv as texts, read by the standard library."""
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))
