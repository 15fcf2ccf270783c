"""How long a payload is on its way while the rate changes from slot to slot."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from megdt_opt.online.trace import Trace

Array = NDArray[np.float64]

_ROUNDING = 1e-12
"""Nominal seconds by which a payload that just fits may miss time 0, relative to its own [1]."""


class Links:
    """The links of all users: seconds at the nominal rate that have gone by, as a function of time, and its inverse.

    Parameters
    ----------
    trace : Trace
        With the factors of each slot.
    """

    def __init__(self, trace: Trace) -> None:
        self.constant = trace.link_factor is None
        if trace.link_factor is None or trace.slot_s is None:
            return
        self._slot_s = trace.slot_s
        self._factor = trace.link_factor
        begun = np.zeros_like(trace.link_factor)  # nominal seconds until each slot begins
        np.cumsum(trace.link_factor[:-1] * trace.slot_s, axis=0, out=begun[1:])
        self._begun = begun
        self._columns = [column.tolist() for column in begun.T]
        self._factors = [column.tolist() for column in trace.link_factor.T]

    def end(self, user: int, start_s: float, nominal_s: float) -> float:
        """When what takes `nominal_s` at the nominal rate has been sent that is begun at `start_s` [s]."""
        if self.constant or nominal_s == 0:
            return start_s + nominal_s
        begun, factor = self._columns[user], self._factors[user]
        slot = min(int(start_s / self._slot_s), len(begun) - 1)
        goal = begun[slot] + (start_s - slot * self._slot_s) * factor[slot] + nominal_s
        slot = bisect_right(begun, goal) - 1
        end_s: float = slot * self._slot_s + (goal - begun[slot]) / factor[slot]
        return max(end_s, start_s)

    def ends(self, user: int, start_s: Array, nominal_s: float) -> Array:
        """`end` of many starts of one user, (m,) [s]."""
        if self.constant or nominal_s == 0:
            return start_s + nominal_s
        begun, factor = self._begun[:, user], self._factor[:, user]
        slot = np.minimum((start_s / self._slot_s).astype(np.int64), len(begun) - 1)
        goal = begun[slot] + (start_s - slot * self._slot_s) * factor[slot] + nominal_s
        slot = np.searchsorted(begun, goal, side="right") - 1
        found: Array = np.maximum(slot * self._slot_s + (goal - begun[slot]) / factor[slot], start_s)
        return found

    def fastest(self, user: int) -> float:
        """The largest factor on a user's rate [1]."""
        return 1.0 if self.constant else float(self._factor[:, user].max())

    def latest_start(self, user: NDArray[np.int64], end_s: Array, nominal_s: Array) -> Array:
        """Latest start with which what takes `nominal_s` is sent by `end_s`, each (n,) [s]; -inf where none is."""
        if self.constant:
            return end_s - nominal_s
        found = np.empty(len(user))
        for k in np.unique(user):
            at = np.flatnonzero(user == k)
            begun, factor = self._begun[:, k], self._factor[:, k]
            slot = np.clip((end_s[at] / self._slot_s).astype(np.int64), 0, len(begun) - 1)
            goal = begun[slot] + (end_s[at] - slot * self._slot_s) * factor[slot] - nominal_s[at]
            slot = np.maximum(np.searchsorted(begun, goal, side="right") - 1, 0)
            start = np.maximum(slot * self._slot_s + (goal - begun[slot]) / factor[slot], 0.0)
            late = goal < -_ROUNDING * (1 + nominal_s[at])  # it would have to be begun before time 0
            found[at] = np.where(nominal_s[at] == 0, end_s[at], np.where(late, -np.inf, start))
        return found
