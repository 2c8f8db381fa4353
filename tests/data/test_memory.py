import torch

from deepspec.data import memory


def test_free_memory_is_limited_by_a_container(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    free = memory.available_memory()
    assert free > 2**20
    (tmp_path / "memory.current").write_text("600000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory.available_memory() == 400000
    (tmp_path / "memory.max").write_text("500000\n")
    assert memory.available_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() > 2**20


def test_cached_files_give_way(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 600000\nactive_file 50000\n")
    assert memory.available_memory() == 750000
    assert memory.device_memory(torch.device("cpu")) == 750000
