"""X-ray emission lines of the elements; the table is that of `deepspec.lines`."""

from deepspec.lines.xray_table import XrfLine, xrf_lines

__all__ = ["XrfLine", "xrf_lines"]
