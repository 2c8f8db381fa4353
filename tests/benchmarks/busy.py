"""A training step beside a busy process, with threads that sleep while they wait (ours) and with ones that spin."""

import os
import subprocess
import sys
import time
from pathlib import Path

STEPS = 30

# Waits for a line before it measures, so that nothing is imported beside it.
STEP = f"""
import sys, time
import deepspec, torch
from deepspec.models import NetworkConfig, build_network
torch.manual_seed(0)
network = build_network(512, NetworkConfig(encoder=[256, 128, 64, 32], decoder=[64, 128, 256]))
optimiser = torch.optim.Adam(network.parameters(), 1e-3)
x = torch.rand(512, 512)

def step():
    loss = torch.nn.functional.mse_loss(network(x), x)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

for _ in range(5):
    step()
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    for _ in range({STEPS}):
        step()
    print((time.perf_counter() - start) / {STEPS}, flush=True)
"""

BUSY = "print('ready', flush=True)\nwhile True: pass"


class Process:
    """Python code in a process of its own, which says when it is ready."""

    def __init__(self, code, **variables):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.kill()
        self.process.communicate()

    def ask(self):
        """Seconds of a step."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main():
    """One busy process for each core but one, and as many threads of torch as cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    own = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    os.environ.clear()
    os.environ.update(own)
    threads = {"OMP_NUM_THREADS": str(cores)}
    with Process(STEP, **threads) as sleeping, Process(STEP, OMP_WAIT_POLICY="ACTIVE", **threads) as spinning:
        alone = [process.ask() for process in (sleeping, spinning)]
        neighbours = [Process(BUSY) for _ in range(max(1, cores - 1))]
        time.sleep(0.5)
        beside = [process.ask() for process in (sleeping, spinning)]
        for neighbour in neighbours:
            neighbour.__exit__()
    print(f"step alone {alone[0] * 1e3:.1f} ms, with spinning threads {alone[1] * 1e3:.1f} ms")
    print(f"beside {len(neighbours)} busy processes {beside[0] * 1e3:.1f} ms, spinning {beside[1] * 1e3:.1f} ms")
    print(f"  ratio spinning / sleeping {beside[1] / beside[0]:.1f} beside them, {alone[1] / alone[0]:.1f} alone")


if __name__ == "__main__":
    main()
