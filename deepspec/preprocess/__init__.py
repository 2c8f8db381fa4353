"""Preprocessing: a chain of small steps, described in YAML and saved inside the checkpoint.

```yaml
preprocess:
  - {step: rebin, bins: 512}
  - sqrt
  - max
```

| step | parameters (default) | what it does |
|---|---|---|
| `rebin` | `bins`, `mode` (sum, or mean, paper) | wider channels; any ratio; counts are conserved |
| `smooth` | `width` or `sigma`, in channels | moving average or Gaussian |
| `snip` | `window`, in channels | subtract the background under peaks narrower than the window |
| `clip` | `min` (0) | raise smaller values to `min` |
| `log1p`, `anscombe` | | log(1 + x), 2 sqrt(x + 3/8) |
| `sqrt` | `inverse` (square, or poisson) | sqrt(x); `poisson` undoes mean roots of counts: weak lines stay |
| `log` | `quantile` (0.005) | log(x), and for less than this quantile of the positive training values its log |
| `max`, `area`, `unit` | | divide each spectrum by its maximum, sum or Euclidean length |
| `dose` | | multiply each spectrum to the median sum of the training's: the same level at any exposure |
| `standard` | `scale` (global, or channel), `centre` (true) | zero mean and unit variance over the training sample |
| `minmax` | | each channel to 0..1 over the training sample |
| `quantile_tanh` | `regulator` (0.001) | tanh of the logarithm scaled by the spectrum's own quartiles |
| `pca` | `components` (16) | scores on the principal components of the training sample, centred, not whitened |
| `mnf` | `components` (12), `whiten` (0.5) | minimum noise fractions; the noise is that of neighbouring pixels |
| `views` | `chains`, a list of lists of steps | several chains side by side, each divided by its own deviation |

`views` shows the network several scalings at once, and spectra come back from the first:

```yaml
preprocess:
  - step: views
    chains:
      - [minmax, {step: pca, components: 16}]
      - [{step: log, quantile: 0.005}, {step: pca, components: 16}]
      - [unit, {step: pca, components: 16}]
      - [{step: log, quantile: 0.005}, {step: pca, components: 64}, {step: mnf, components: 12, whiten: 0.5}]
```
"""

from deepspec.preprocess.chain import Preprocess

__all__ = ["Preprocess"]
