import pytest

from deepspec.data.row_order import Piece, chunks, cut, epoch_pieces, full_batches, padded_batches, share, windows


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
@pytest.mark.parametrize("shuffle", [None, (0, 0), (0, 1)])
def test_shares_of_the_ranks_make_up_the_split(world, shuffle):
    shares = [rows_in(epoch_pieces(chunks(SHARDS), rank, world, shuffle)) for rank in range(world)]
    assert sorted(row for part in shares for row in part) == sorted(ALL)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_epochs_differ_and_repeat():
    first, again, other, no_seed = (
        epoch_pieces(chunks([100_000]), 0, 2, shuffle) for shuffle in ((3, 0), (3, 0), (3, 1), None)
    )
    assert first == again
    assert first != other
    assert no_seed == cut(chunks([100_000]), 0, 50_000)


@pytest.mark.parametrize("rows", [0, 1, 5, 1000])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_batches_fit_every_share(rows, world):
    sizes = [b - a for a, b in (share(rows, rank, world) for rank in range(world))]
    for batch in (1, 3, 64):
        assert full_batches(rows, world, batch) == min(size // batch for size in sizes)
        assert padded_batches(rows, world, batch) == max(-(-size // batch) for size in sizes)


def test_windows():
    pieces = chunks([5000])
    assert [len(w) for w in windows(pieces, 2048)] == [2, 2, 1]
    assert [len(w) for w in windows(pieces, 1)] == [1] * 5
    assert windows(pieces, 10**6) == [tuple(pieces)]
    assert windows([Piece(0, 0, 3)], 10) == [(Piece(0, 0, 3),)]
