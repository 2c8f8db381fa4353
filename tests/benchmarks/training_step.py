"""The full training step of the paper's XRF network against the same network's plain reconstruction step."""

import copy

import torch

from deepspec.models import NetworkConfig, build_network
from deepspec.training.objective import Objective, ObjectiveConfig, Weights
from tests.benchmarks.timing import paired

NETWORK = NetworkConfig(encoder=[256, 128, 64, 32], decoder=[64, 128, 256], dropout=0.1, variational=True)


def main():
    """Batch 512, 512 channels, K 3 to 10, variational with MMD."""
    torch.manual_seed(0)
    # Spectra of five materials, so that the latents have clusters to find.
    materials = torch.rand(5, 512)
    x = torch.poisson(40 * materials[torch.randint(0, 5, (512,))]) / 80
    plain = build_network(512, NETWORK)
    full = copy.deepcopy(plain)
    objective = Objective(ObjectiveConfig())
    weights = Weights(beta=0.01, gamma=0.01)
    plain_optimiser, full_optimiser = (torch.optim.Adam(n.parameters(), 1e-3) for n in (plain, full))

    def plain_step():
        latent = plain.encode(x)
        loss = torch.nn.functional.mse_loss(plain.decode(plain.reparameterise(latent)), x)
        plain_optimiser.zero_grad()
        loss.backward()
        plain_optimiser.step()

    def full_step():
        latent = full.encode(x)
        z = full.reparameterise(latent)
        loss = objective(x, full.decode(z), latent.mean_NL, z, weights, weights).total
        full_optimiser.zero_grad()
        loss.backward()
        full_optimiser.step()

    for _ in range(20):
        full_step()
    ours, theirs, ratio = paired(full_step, plain_step, rounds=40, repeats=3)
    print(f"training step, batch 512 x 512, K 3..10, MMD: {ours * 1e3:.1f} ms, plain {theirs * 1e3:.1f} ms")
    print(f"  ratio {ratio:.2f} (goal: at most 1.15; the published code: about 7)")


if __name__ == "__main__":
    main()
