import pytest
import torch

from deepspec.segmentation.threads import in_threads


def test_threads_keep_order_and_pass_errors_on():
    threads = torch.get_num_threads()
    assert list(in_threads(lambda i: i * i, range(100))) == [i * i for i in range(100)]
    assert list(in_threads(lambda _: torch.get_num_threads(), range(3))) == [1, 1, 1]
    assert list(in_threads(lambda _: torch.is_grad_enabled(), range(2))) == [False, False]

    def fail(i):
        raise RuntimeError(f"item {i}")

    with pytest.raises(RuntimeError, match="item 0"):
        list(in_threads(fail, range(9)))
    assert torch.get_num_threads() == threads
