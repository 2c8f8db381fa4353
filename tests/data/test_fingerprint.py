"""Large files are recognised by their size, the time of their last change and a sample of their blocks."""

import os

import pytest

from deepspec.data import fingerprint as module
from deepspec.data.fingerprint import fingerprint, sha256_of


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file of 1,000 bytes that counts as large; ten blocks of ten bytes of it are looked at."""
    monkeypatch.setattr(module, "HASHED_BYTES", 999)
    monkeypatch.setattr(module, "BLOCKS", 10)
    monkeypatch.setattr(module, "BLOCK_BYTES", 10)
    path = tmp_path / "cube.raw"
    path.write_bytes(bytes(1000))
    return path


def changed(path, place, *, keep_time):
    """The fingerprint after a byte was changed."""
    time = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\x01")
    os.utime(path, ns=(time, time if keep_time else time + 10**9))
    return fingerprint(path)


@pytest.mark.parametrize("place", [0, 9, 110, 995, 999])
def test_a_change_within_the_blocks_is_seen_though_size_and_time_are_the_same(large, place):
    before = fingerprint(large)
    assert fingerprint(large) == before
    assert changed(large, place, keep_time=True) != before


def test_a_change_between_the_blocks_is_seen_by_its_time(large):
    before = fingerprint(large)
    assert changed(large, 55, keep_time=True) == before
    assert changed(large, 56, keep_time=False) != before


def test_another_size_is_another_file(large):
    before, time = fingerprint(large), large.stat().st_mtime_ns
    large.write_bytes(bytes(1001))
    os.utime(large, ns=(time, time))
    assert fingerprint(large) != before


def test_a_large_folder_is_known_by_all_its_files(large):
    folder = large.parent
    (folder / "header.txt").write_text("bands = 10")
    before = fingerprint(folder)
    time = (folder / "header.txt").stat().st_mtime_ns
    (folder / "header.txt").write_text("bands = 11")
    os.utime(folder / "header.txt", ns=(time, time))
    assert fingerprint(folder) != before


def test_a_small_file_is_hashed_whole(large):
    large.write_bytes(bytes(999))
    assert fingerprint(large) == sha256_of(large)
