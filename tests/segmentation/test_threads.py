import pytest
import torch

from deepspec.threads import in_threads, one_thread_per_operation


def test_results_come_in_order_without_gradients():
    assert list(in_threads(lambda i: i * i, range(100), 3)) == [i * i for i in range(100)]
    assert list(in_threads(lambda _: torch.is_grad_enabled(), range(2), 2)) == [False, False]


def test_items_are_drawn_as_results_are_taken():
    drawn = []
    results = in_threads(lambda i: i, (drawn.append(i) or i for i in range(100)), 2)
    next(results)
    assert len(drawn) == 5
    results.close()


def test_errors_are_passed_on():
    def fail(i):
        raise RuntimeError(f"item {i}")

    with pytest.raises(RuntimeError, match="item 0"):
        list(in_threads(fail, range(9), 2))


def test_torch_uses_one_thread_meanwhile():
    before = torch.get_num_threads()
    with one_thread_per_operation() as threads:
        assert threads == min(before, 16)
        assert list(in_threads(lambda _: torch.get_num_threads(), range(3), threads)) == [1, 1, 1]
    assert torch.get_num_threads() == before
