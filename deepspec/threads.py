"""Work on pieces in parallel.

An operation of torch that is shared among processors waits for the slowest of them, and does so thousands of times in
a pass over a cube. Pieces that are worked on side by side, each on one processor, wait for nobody: measured on two
processors, this takes two thirds of the time on idle ones, and a third to a tenth on ones that others use as well.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future


Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 16
"""More would hold too many pieces in memory."""


@contextmanager
def one_thread_per_operation() -> Iterator[int]:
    """Have torch use one thread in each operation; gives the number of threads to work in instead."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield min(before, MOST_THREADS)
    finally:
        torch.set_num_threads(before)


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Apply `work` to every item in several threads, without gradients.

    Items are drawn as results are taken, so that few of either are held at a time.

    Args:
        work: must not change anything that another call uses.
        items: what to work on.
        threads: how many.

    Yields:
        The results in the order of the items.
    """

    @torch.inference_mode()  # which is a property of the thread
    def without_gradients(item: Item) -> Result:
        return work(item)

    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(without_gradients, item))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
