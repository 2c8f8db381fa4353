"""Drawing the counts of a 512 x 512 x 512 scan of four clusters against the method of the published generator."""

import time

import numpy as np
from scipy.stats import chi2

from deepspec.synthetic.photons import sample_counts
from deepspec.synthetic.pigments import load_pigments

SIDE, CHANNELS, PHOTONS, CLUSTERS = 512, 512, 400, 4


def published_method(labels_HW, spectra_KC, rng):
    """What ganX does: photons for every pixel of the image and every cluster, of which each pixel keeps one cluster's.

    `choice` draws the channels and `np.add.at` counts them, a cluster at a time.
    """
    pixels = labels_HW.size
    total = np.zeros((pixels, CHANNELS))
    for cluster, spectrum in enumerate(spectra_KC):
        counts = np.zeros((pixels, CHANNELS))
        drawn = rng.choice(CHANNELS, size=(pixels, PHOTONS), p=spectrum)
        np.add.at(counts, (np.arange(pixels)[:, None], drawn), 1)
        total += counts * (labels_HW.reshape(-1, 1) == cluster)
    return total.reshape(*labels_HW.shape, CHANNELS)


def pooled_p_value(counts_HWC, labels_HW, spectra_KC):
    """Chance of a chi-square as large as that of each cluster's pooled counts, the smallest over the clusters."""
    chances = []
    for cluster, spectrum in enumerate(spectra_KC):
        pooled = counts_HWC[labels_HW == cluster].sum(0, dtype=np.float64)
        expected = pooled.sum() * spectrum
        enough = expected > 5
        statistic = ((pooled - expected)[enough] ** 2 / expected[enough]).sum()
        chances.append(chi2.sf(statistic, enough.sum() - 1))
    return min(chances)


def main():
    """Exactly 400 photons a pixel for both; ours also Poisson, which is the default."""
    table = load_pigments(CHANNELS).select(1)
    spectra = table.spectra[np.linspace(0, len(table.names) - 1, CLUSTERS).astype(int)]
    spectra = spectra / spectra.sum(1, keepdims=True)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    labels = (2 * (rows >= SIDE // 2) + (columns >= SIDE // 3)).astype(np.int16)
    means = PHOTONS * np.eye(CLUSTERS)[labels]
    seconds, chances, totals = {}, {}, {}
    for name, draw in {
        "published": lambda: published_method(labels, spectra, np.random.default_rng(0)),
        "fixed": lambda: sample_counts(means, spectra, fixed=PHOTONS, seed=0),
        "poisson": lambda: sample_counts(means, spectra, seed=0),
    }.items():
        start = time.perf_counter()
        counts = draw()
        seconds[name] = time.perf_counter() - start
        chances[name] = pooled_p_value(counts, labels, spectra)
        totals[name] = counts.sum(2)
        del counts
    assert (totals["published"] == PHOTONS).all()
    assert (totals["fixed"] == PHOTONS).all()
    for name in ("fixed", "poisson"):
        print(f"{name}: {seconds[name]:.1f} s, the published method {seconds['published']:.1f} s")
        print(f"  ratio {seconds['published'] / seconds[name]:.1f} (goal: at least 10)")
    print("  least p of pooled counts: " + ", ".join(f"{name} {chance:.2f}" for name, chance in chances.items()))


if __name__ == "__main__":
    main()
