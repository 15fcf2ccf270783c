"""Which users a batched edge serves, and in which blocks, when the band has a price: the block program.

With all steps or none at the edge, some best schedule for "sum" consists of blocks, N batches of the same users each,
with the heavier users in earlier blocks (`bounds.batch_blocks` has the proof). A block of X users takes N (a X + b) and
ends, if u users are served up to it in j blocks, at start + N a u + N b j. So with the users in the order of their
weights, falling, the least cost follows from a program over (users served so far, free seats of the open block, blocks
opened): whoever is next stays on its device, takes a free seat, or opens a block with so many seats. Its value at a
price of the band, less the price, is a lower bound of the objective (weak duality).

Blocks beyond `BLOCKS` count as that many: they are too cheap by their intercepts, so that the value stays a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Table = NDArray[Any]

BLOCKS = 48
"""Blocks that are told apart [1]."""

MOST_RISES = 64
"""Users up to which it is worked out by how much the least cost rises with a choice [1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockCosts:
    """Costs of K users, who stand in the order of their weights, falling; floats or integers.

    Parameters
    ----------
    stay, serve : array, (K,)
        Cost of none and of all steps at the edge, without what the end of the block adds; `top` for closed.
    by_users : array, (K, K + 1)
        What the end of the user's block adds for the users served up to it.
    by_blocks : array, (K, B + 1)
        What it adds for the blocks opened up to it, 0 to B.
    top : number
        Stands for what cannot be; sums of it stay within the type.
    """

    stay: Table
    serve: Table
    by_users: Table
    by_blocks: Table
    top: Any

    @property
    def users(self) -> int:
        """K."""
        return len(self.stay)

    def _blocks(self, k: int) -> int:
        """Blocks that the first k users can have opened, at most."""
        return int(min(k, self.by_blocks.shape[1] - 1))

    def _served(self, k: int) -> Table:
        """Cost of serving user k, (placed before it, seats with its own - 1, blocks with its own)."""
        row = np.ascontiguousarray(self.by_users[k])
        size = row.strides[0]
        # users up to the end of the block: those placed before, and all seats that were free before this one
        ends = as_strided(row[1:], (k + 1, self.users - k), (size, size), writeable=False)
        return np.asarray(ends[:, :, None] + (self.serve[k] + self.by_blocks[k, : self._blocks(k + 1) + 1]))

    def backward(self) -> list[Table]:
        """Least costs of users k, k + 1, ... from each state, for k = 0 to K.

        A state is (users placed, free seats, blocks opened), (k + 1, K - k + 1, blocks + 1).
        """
        values = [np.zeros((self.users + 1, 1, self._blocks(self.users) + 1), dtype=self.stay.dtype)]
        for k in reversed(range(self.users)):
            values.append(self._before(k, values[-1])[0])
        return values[::-1]

    def _before(self, k: int, after: Table) -> tuple[Table, Table, Table]:
        """Least costs from user k on, and of it serving (in a state with one seat more) or staying."""
        left, blocks = self.users - k, self._blocks(k)
        serve = self._served(k)
        serve += after[1:, :left]
        stay = self.stay[k] + after[: k + 1, :left, : blocks + 1]
        value = np.empty((k + 1, left + 1, blocks + 1), dtype=self.stay.dtype)
        value[:, 1:] = serve[:, :, : blocks + 1]
        np.minimum(value[:, 1:-1], stay[:, 1:], out=value[:, 1:-1])
        np.minimum(stay[:, 0], self._opened(serve.min(axis=1), blocks), out=value[:, 0])
        np.minimum(value, self.top, out=value)
        return value, serve, stay

    def _opened(self, table: Table, blocks: int) -> Table:
        """Entries of one block more, (..., blocks + 1): beyond the last they are those of the last."""
        return table[..., np.minimum(np.arange(1, blocks + 2), table.shape[-1] - 1)]

    def least(self) -> Any:
        """The least cost; at least `top` where there is none."""
        value = np.zeros((self.users + 1, 1, self._blocks(self.users) + 1), dtype=self.stay.dtype)
        for k in reversed(range(self.users)):
            value = self._before(k, value)[0]
        return value[0, 0, 0]

    def cheapest(self) -> tuple[Any, NDArray[np.bool_]]:
        """The least cost, and who is served at it, (K,)."""
        value = np.zeros((self.users + 1, 1, self._blocks(self.users) + 1), dtype=self.stay.dtype)
        served: list[Table] = []
        seats: list[Table] = []
        for k in reversed(range(self.users)):
            value, serve, stay = self._before(k, value)
            blocks = self._blocks(k)
            taken = np.ones(value.shape, dtype=bool)
            taken[:, 1:-1] = serve[:, :-1, : blocks + 1] <= stay[:, 1:]
            taken[:, 0] = self._opened(serve.min(axis=1), blocks) <= stay[:, 0]
            served.append(taken)
            seats.append(self._opened(serve.argmin(axis=1), blocks).astype(np.int16))
        found = np.zeros(self.users, dtype=bool)
        placed = free = opened = 0
        for k, (taken, seat) in enumerate(zip(served[::-1], seats[::-1], strict=True)):
            found[k] = taken[placed, free, opened]
            if found[k]:
                if free == 0:
                    free = int(seat[placed, opened]) + 1
                    opened = min(opened + 1, self.by_blocks.shape[1] - 1)
                placed, free = placed + 1, free - 1
        return value[0, 0, 0], found

    def rises(self) -> tuple[Any, Table]:
        """The least cost, and the least cost if a user stays or is served, (K, 2)."""
        values = self.backward()
        forced = np.full((self.users, 2), self.top, dtype=self.stay.dtype)
        reach = np.zeros((1, self.users + 1, 1), dtype=self.stay.dtype)
        reach[0, 1:] = self.top
        for k in range(self.users):
            left, blocks, after = self.users - k, self._blocks(k), values[k + 1]
            stay = reach[:, :left] + self.stay[k]
            forced[k, 0] = (stay + after[: k + 1, :left, : blocks + 1]).min()
            serve = self._served(k)
            within = serve[:, :, : blocks + 1] + reach[:, 1:]
            opening = np.full(serve.shape, self.top, dtype=self.stay.dtype)
            for b in range(blocks + 1):
                to = min(b + 1, serve.shape[2] - 1)
                np.minimum(opening[:, :, to], reach[:, :1, b] + serve[:, :, to], out=opening[:, :, to])
            np.minimum(opening[:, :, : blocks + 1], within, out=opening[:, :, : blocks + 1])
            forced[k, 1] = (np.minimum(opening, self.top) + after[1:, :left]).min()
            ahead = np.full(after.shape, self.top, dtype=self.stay.dtype)
            ahead[: k + 1, :left, : blocks + 1] = stay
            np.minimum(ahead[1:, :left], opening, out=ahead[1:, :left])
            reach = np.minimum(ahead, self.top)
        return values[0][0, 0, 0], np.minimum(forced, self.top)


def best_blocks(weight: NDArray[np.float64], slope_s: float, base_s: float) -> list[int]:
    """Sizes of the blocks that serve users of falling weights (m,) at the least sum of weighted ends.

    Parameters
    ----------
    weight : array, (m,)
        Falling [1].
    slope_s, base_s : float
        A block of X users takes slope_s X + base_s [s].
    """
    count = len(weight)
    after = np.concatenate([np.cumsum(weight[::-1])[::-1], [0.0]])
    best, cut = np.zeros(count + 1), np.zeros(count + 1, dtype=np.int64)
    for j in range(1, count + 1):
        # the block of users i to j - 1 delays itself and all after it
        total = best[:j] + (slope_s * (j - np.arange(j)) + base_s) * after[:j]
        cut[j] = total.argmin()
        best[j] = total[cut[j]]
    sizes: list[int] = []
    while count:
        sizes.append(count - int(cut[count]))
        count = int(cut[count])
    return sizes[::-1]
