"""Comparing state dicts, which hold plain values and nested ones beside tensors."""

import torch


def same_state(first, second):
    """Whether two values of state dicts are equal to the last bit."""
    if isinstance(first, torch.Tensor):
        return (
            isinstance(second, torch.Tensor)
            and first.dtype == second.dtype
            and first.shape == second.shape
            and torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)
        )
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same_state(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same_state, first, second))
    return first == second or (first != first and second != second)  # NaN equals NaN here
