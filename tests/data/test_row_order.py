import pytest

from deepspec.data.shards.order import (
    EpochOrder,
    chunks,
    cut,
    dealt_pieces,
    full_batches,
    padded_batches,
    rank_pieces,
    share,
)


def rows_in(pieces):
    return [(p.shard, row) for p in pieces for row in range(p.start, p.stop)]


SHARDS = [3000, 1, 1024, 500]
ALL = [(shard, row) for shard, rows in enumerate(SHARDS) for row in range(rows)]


def test_chunks_cover_the_shards_and_never_cross_a_border():
    pieces = chunks(SHARDS)
    assert rows_in(pieces) == ALL
    assert all(p.start % 1024 == 0 and p.stop - p.start <= 1024 for p in pieces)
    assert rows_in(chunks(SHARDS, max_rows=3001)) == ALL[:3001]


def test_cut():
    pieces = chunks(SHARDS)
    assert rows_in(cut(pieces, 1000, 3002)) == ALL[1000:3002]
    assert cut(pieces, 10, 10) == []


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_of_the_ranks_make_up_the_split(world):
    shares = [rows_in(rank_pieces(chunks(SHARDS), rank, world)) for rank in range(world)]
    assert [row for part in shares for row in part] == ALL
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("batch", [1, 300, 1024, 5000])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_batches_are_dealt_out_in_turn(world, batch):
    dealt = [rows_in(dealt_pieces(chunks(SHARDS), rank, world, batch)) for rank in range(world)]
    for rank, rows in enumerate(dealt):
        assert rows == [row for number, row in enumerate(ALL) if number // batch % world == rank]


def given(order, epoch, skip=0):
    """The rows of an epoch in their order, spelled out."""
    rows = []
    for plan in order.windows(epoch, skip):
        window = rows_in([order.pieces[i] for i in plan.pieces])
        assert len(window) == plan.rows <= order.largest_window
        rows += [window[i] for i in plan.row_order()]
    return rows


@pytest.mark.parametrize("window_rows", [1, 1024, 2500, 10**9])
@pytest.mark.parametrize("rank", [0, 1])
def test_an_epoch_gives_every_row_of_the_share_once(window_rows, rank):
    pieces = rank_pieces(chunks(SHARDS), rank, 2)
    order = EpochOrder(pieces, 3, rank, window_rows)
    epochs = [given(order, epoch) for epoch in (0, 1)]
    assert all(sorted(rows) == rows_in(pieces) for rows in epochs)
    assert epochs[0] != epochs[1]
    assert given(order, 0) == epochs[0]
    assert given(EpochOrder(pieces, 4, rank, window_rows), 0) != epochs[0]
    for skip in (1, 700, 1024, 1025, len(pieces), len(epochs[0])):
        assert given(order, 0, skip) == epochs[0][skip:]


def test_without_a_seed_the_order_is_that_of_the_shards():
    order = EpochOrder(chunks(SHARDS), None, 0, 2048)
    assert given(order, 0) == given(order, 5) == ALL


def test_ranks_draw_different_orders():
    pieces = chunks([50 * 1024])
    orders = [[list(plan.pieces) for plan in EpochOrder(pieces, 0, rank, 4096).windows(0)] for rank in (0, 1)]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("rows", [0, 1, 5, 1000])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_batches_fit_every_share(rows, world):
    sizes = [b - a for a, b in (share(rows, rank, world) for rank in range(world))]
    for batch in (1, 3, 64):
        assert full_batches(rows, world, batch) == min(size // batch for size in sizes)
        assert padded_batches(rows, world, batch) == max(-(-size // batch) for size in sizes)


def test_windows_hold_whole_chunks():
    order = EpochOrder(chunks([5000]), 0, 0, 2047 + 1024)
    assert [len(plan.pieces) for plan in order.windows(0)] == [2, 2, 1]
    assert EpochOrder(chunks([3]), 0, 0, 10).largest_window == 3
    assert list(EpochOrder([], 0, 0, 10).windows(0)) == []


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("skip", [0, 1, 700, 1801, 1802, 4000, 5405])
def test_passes_follow_each_other_as_epochs_do(seed, skip):
    """Three passes of an epoch are three epochs of one pass, and one may begin anywhere in them."""
    pieces = chunks([1500, 301])
    three, one = (EpochOrder(pieces, seed, 1, 1024, passes) for passes in (3, 1))
    for epoch in (0, 2):
        expected = [row for turn in range(3) for row in given(one, 3 * epoch + turn)]
        assert len(expected) == 3 * 1801
        assert given(three, epoch, skip) == expected[skip:]
