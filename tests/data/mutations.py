"""Damage files at random, reproducibly."""

import numpy as np

OTHER_EXTENSIONS = (".h5", ".npy", ".npz", ".mat", ".fits", ".hdr", ".rpl", ".msa", ".tif", ".raw", ".txt", ".bcf", "")


def cut(rng, content):
    return content[: int(rng.integers(0, len(content)))]


def flip_anywhere(rng, content):
    return _flip(rng, content, len(content))


def flip_head(rng, content):
    """Most formats say in their first bytes what follows."""
    return _flip(rng, content, min(len(content), 1024))


def flip_tail(rng, content):
    return content[::-1] and _flip(rng, content[::-1], min(len(content), 512))[::-1]


def zeros(rng, content):
    start = int(rng.integers(0, len(content)))
    length = int(rng.integers(1, 200))
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def noise(rng, content):
    start = int(rng.integers(0, len(content)))
    length = int(rng.integers(1, 50))
    return content[:start] + rng.bytes(length) + content[start + length :]


def left_out(rng, content):
    """A piece is missing, so that all behind it is moved."""
    start = int(rng.integers(0, len(content)))
    return content[:start] + content[start + int(rng.integers(1, 100)) :]


def digits(rng, content):
    """Another digit in a text, for headers made of text."""
    places = [i for i, byte in enumerate(content[:4096]) if 48 <= byte <= 57]
    if not places:
        return flip_head(rng, content)
    damaged = bytearray(content)
    damaged[rng.choice(places)] = 48 + int(rng.integers(0, 10))
    return bytes(damaged)


def _flip(rng, content, end):
    damaged = bytearray(content)
    for place in rng.integers(0, end, int(rng.integers(1, 5))):
        damaged[place] ^= 1 << int(rng.integers(0, 8))
    return bytes(damaged)


DAMAGE = (cut, flip_anywhere, flip_head, flip_tail, zeros, noise, left_out, digits)


def damage(rng, path):
    """Damage one file in place; returns the kind of damage."""
    kind = DAMAGE[rng.integers(len(DAMAGE))]
    content = path.read_bytes()
    if not content:
        return "nothing"
    path.write_bytes(kind(rng, content))
    return kind.__name__


def rename(rng, path):
    """Give a file another extension."""
    return path.rename(path.with_suffix(str(rng.choice(OTHER_EXTENSIONS))))


def odd_array(rng):
    """An array of a shape, type or content that few expect."""
    shape = tuple(int(n) for n in rng.choice([0, 1, 1, 2, 3, 7, 70], int(rng.integers(1, 6))))
    kind = rng.choice(["u1", "i2", "u2", "i4", "f4", "f8"])
    array = rng.integers(0, 99, shape).astype(kind)
    if array.dtype.kind == "f" and array.size:
        array.flat[rng.integers(array.size, size=3)] = rng.choice([np.nan, np.inf, -1e30])
    return array
