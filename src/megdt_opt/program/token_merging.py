"""Merging of a latent's cells by similarity: fewer cells travel, and each merged one comes back as its partner's copy.

Bipartite matching as in token merging (Bolya et al. 2023, arXiv 2210.09461; for diffusion models Bolya
and Hoffman 2023, arXiv 2303.17604): one cell of every block of 2 x 2 is a destination, each other cell is
matched with the destination nearest to it, and the pairs that are most alike are merged. Distances are Euclidean rather
than angles, because what comes back is the value and not its direction. What was merged with what travels with the
cells, bit-packed: a flag for each cell that may be merged, and the number of its destination for each that was.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import MalformedMessage

Values = NDArray[np.float32]
Packed = NDArray[np.uint8]

_ROWS = 1024


def merged_cells(rows: int, columns: int, ratio: float) -> int:
    """How many cells of a latent are merged away: a share of all, as far as there are cells that may be [1]."""
    return min(math.floor(ratio * rows * columns), len(_sides(rows, columns)[1]))


def index_byte(rows: int, columns: int, ratio: float) -> int:
    """Size of the packed indices [byte]."""
    destinations, sources = _sides(rows, columns)
    merged = merged_cells(rows, columns, ratio)
    return math.ceil((len(sources) + merged * _bits(len(destinations))) / 8) if merged else 0


def merge(values: Values, ratio: float) -> tuple[Values, Packed]:
    """Merge the cells of one latent that are most alike.

    Parameters
    ----------
    values : array
        (1, channels, rows, columns) float32.
    ratio : float
        Share of the cells that is merged away, from 0 to 0.75 [1].

    Returns
    -------
    kept : array
        (channels, cells kept) float32, in the order of the cells; a destination is the mean of all that it stands for.
    indices : array
        Which were merged with which, uint8 of `index_byte` bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt.program.token_merging import merge, unmerge
    >>> latent = np.array([1, 1, 5, 5, 1, 1, 5, 6], np.float32).reshape(1, 1, 2, 4)
    >>> kept, indices = merge(latent, 0.5)
    >>> kept.tolist(), indices.nbytes
    ([[1.0, 5.0, 5.0, 6.0]], 2)
    >>> unmerge(kept, indices, latent.shape, 0.5).ravel().tolist()
    [1.0, 1.0, 5.0, 5.0, 1.0, 1.0, 5.0, 6.0]
    """
    _, channels, rows, columns = values.shape
    cells = values.reshape(channels, rows * columns)
    count = merged_cells(rows, columns, ratio)
    if count == 0:
        return cells, np.zeros(0, np.uint8)
    destinations, sources = _sides(rows, columns)
    nearest, distance = _nearest(cells[:, sources].astype(np.float64), cells[:, destinations].astype(np.float64))
    merged = np.sort(np.argsort(distance, kind="stable")[:count])
    total, weight = cells.astype(np.float64), np.ones(rows * columns)
    onto = destinations[nearest[merged]]
    np.add.at(total.T, onto, total[:, sources[merged]].T)
    np.add.at(weight, onto, 1.0)
    flags = np.zeros(len(sources), np.uint8)
    flags[merged] = 1
    stays = np.ones(rows * columns, bool)
    stays[sources[merged]] = False
    kept = (total[:, stays] / weight[stays]).astype(np.float32)
    return kept, np.packbits(np.concatenate([flags, _as_bits(nearest[merged], _bits(len(destinations)))]))


def unmerge(kept: Values, indices: Packed, shape: tuple[int, ...], ratio: float) -> Values:
    """The latent of what `merge` gives: each cell that was merged away is a copy of its destination.

    Parameters
    ----------
    kept, indices : array
        As `merge` returns them.
    shape : tuple of int
        (1, channels, rows, columns).
    ratio : float
        As it was merged [1].

    Returns
    -------
    array
        float32 of that shape.

    Raises
    ------
    MalformedMessage
        If the indices are none of such a latent.
    """
    _, channels, rows, columns = shape
    count = merged_cells(rows, columns, ratio)
    if count == 0:
        return kept.reshape(shape)
    destinations, sources = _sides(rows, columns)
    each = _bits(len(destinations))
    bits = np.unpackbits(indices)[: len(sources) + count * each]
    merged = np.flatnonzero(bits[: len(sources)])
    numbers = bits[len(sources) :].reshape(count, each) @ (1 << np.arange(each)[::-1])
    if len(merged) != count or (numbers >= len(destinations)).any():
        raise MalformedMessage(f"indices of {count} merged cells among {rows} x {columns} were due, others came")
    cells = np.empty((channels, rows * columns), np.float32)
    stays = np.ones(rows * columns, bool)
    stays[sources[merged]] = False
    cells[:, stays] = kept
    cells[:, sources[merged]] = cells[:, destinations[numbers]]
    return cells.reshape(shape)


def _sides(rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells that stay, one of each block of 2 x 2, and cells that may be merged with them."""
    i, j = np.indices((rows, columns))
    stays = ((i % 2 == 0) & (j % 2 == 0)).ravel()
    return np.flatnonzero(stays), np.flatnonzero(~stays)


def _nearest(
    sources: NDArray[np.float64], destinations: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number of the nearest destination of each source, and the squared distance to it."""
    norm = (destinations**2).sum(axis=0)
    found, distance = [], []
    for begin in range(0, sources.shape[1], _ROWS):  # in parts: all pairs of a large latent would fill the memory
        part = sources[:, begin : begin + _ROWS]
        apart = (part**2).sum(axis=0)[:, None] - 2 * part.T @ destinations + norm
        found.append(apart.argmin(axis=1))
        distance.append(apart.min(axis=1))
    return np.concatenate(found), np.concatenate(distance)


def _bits(count: int) -> int:
    """Bits that number `count` things."""
    return (count - 1).bit_length()


def _as_bits(numbers: NDArray[np.int64], each: int) -> Packed:
    return ((numbers[:, None] >> np.arange(each)[::-1]) & 1).astype(np.uint8).ravel()
