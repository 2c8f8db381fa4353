import pytest

from deepspec.functional.kmeans import fitting_range


@pytest.mark.parametrize(
    ("k_min", "k_max", "points", "expected"),
    [
        (4, 16, 64, (4, 16)), (4, 16, 63, (4, 15)), (4, 16, 41, (4, 10)), (4, 16, 16, (4, 4)), (4, 16, 12, (3, 3)),
        (4, 16, 5, (2, 2)), (4, 16, 0, (2, 2)), (2, 3, 1000, (2, 3)), (12, 12, 40, (10, 10)),
    ],
)  # fmt: skip
def test_at_least_four_points_for_each_cluster(k_min, k_max, points, expected):
    assert fitting_range(k_min, k_max, points) == expected
