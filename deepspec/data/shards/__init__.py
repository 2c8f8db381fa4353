"""Shards: shuffled spectra on disk, and the batches that are streamed from them."""
