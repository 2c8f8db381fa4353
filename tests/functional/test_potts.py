"""The mean-field Potts model against a loop over pixels."""

import itertools

import numpy as np
import pytest
import torch

from deepspec.functional.potts import STEPS, potts_memberships


def written_out(scores, valid, strength):
    k, height, width = scores.shape

    def softmax(values):
        exponentials = np.exp(values - values.max())
        return exponentials / exponentials.sum()

    found = np.zeros(scores.shape)
    for y, x in itertools.product(range(height), range(width)):
        if valid[y, x]:
            found[:, y, x] = softmax(scores[:, y, x])
    for _ in range(STEPS):
        new = np.zeros(scores.shape)
        for y, x in itertools.product(range(height), range(width)):
            if not valid[y, x]:
                continue
            around = np.zeros(k)
            for dy, dx in itertools.product((-1, 0, 1), repeat=2):
                if (dy, dx) != (0, 0) and 0 <= y + dy < height and 0 <= x + dx < width:
                    around += found[:, y + dy, x + dx]
            new[:, y, x] = softmax(scores[:, y, x] + strength * around)
        found = (found + new) / 2
    return found


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_against_a_loop(strength):
    rng = np.random.default_rng(0)
    scores, valid = rng.normal(0, 2, (3, 7, 5)), rng.random((7, 5)) < 0.8
    scores[:, ~valid] = np.nan
    found = potts_memberships(torch.from_numpy(scores), torch.from_numpy(valid), strength).numpy()
    expected = written_out(np.nan_to_num(scores), valid, strength)
    if strength == 0:
        expected = np.where(valid, np.exp(scores) / np.exp(scores).sum(0), 0)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_noise_is_smoothed_and_thin_lines_survive():
    truth = np.zeros((40, 40), dtype=np.int64)
    truth[:, 20:] = 1
    truth[10] = 2  # a line of one pixel, straight
    truth[np.arange(40), np.arange(40)] = 2  # and one across
    rng = np.random.default_rng(1)
    # Log probabilities whose odds are 4 standard deviations from those of any other class.
    evidence = 16 * (np.eye(3)[truth].transpose(2, 0, 1) - 0.5) / 2 + 4 * rng.normal(0, 0.5, (3, 40, 40))
    alone = evidence.argmax(0)
    found = potts_memberships(torch.from_numpy(evidence), torch.ones(40, 40, dtype=torch.bool), 0.5).argmax(0).numpy()
    line = truth == 2
    assert (found == truth).mean() > (alone == truth).mean()
    assert (found[line] == 2).mean() > 0.95


def test_a_single_cluster_takes_all():
    found = potts_memberships(torch.randn(1, 4, 4), torch.ones(4, 4, dtype=torch.bool), 0.5)
    assert torch.equal(found, torch.ones(1, 4, 4))
