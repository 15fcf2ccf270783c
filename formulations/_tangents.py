"""Tangents to the hull of a stage: which slopes to take, and the constants of each option there.

A stage of a pair j takes T_j(x) = a / x, or a / (x log1p(γ/x)) for Shannon, at a share x in [lo, hi]. A slope s gives
the row t + s x >= Σ_j c_j(s) n_j with c_j(s) = min of T_j(x) + s x; see `option_gdp_outer`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.radio.rates import shannon_minimiser, time_and_slopes

Array = NDArray[np.float64]

_LEAST_SHARE = 1e-4
"""Slopes are looked for at shares of at least this, so that no row has huge numbers."""
_HALVINGS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """One resource: its J pairs in the order of their users.

    Parameters
    ----------
    user : array of int, (J,)
    a, lo, hi : array, (J,)
        Demand, 0 where the option has no such stage; least and largest share [1].
    gamma : array, (J,)
        Of the Shannon law; infinite for a linear rate [1].
    users : int
    """

    user: NDArray[np.int64]
    a: Array
    gamma: Array
    lo: Array
    hi: Array
    users: int

    def slope(self, x: Array) -> Array:
        """-T_j'(x) at shares (J,); 0 for an option without the stage, and at a share of 0."""
        there = (self.a > 0) & (x > 0)
        falls = time_and_slopes(np.where(there, x, 1.0), self.a, self.gamma)[1]
        return np.where(there, -falls, 0.0)

    def nearest(self, slope: Array) -> Array:
        """x_j at which T_j(x) + s x is least, (J,), for slopes s >= 0 of the users (K,)."""
        needs = self.a > 0
        with np.errstate(divide="ignore", over="ignore"):
            ratio = np.divide(self.a, slope[self.user], out=np.ones_like(self.a), where=needs)
        x = np.sqrt(ratio)
        curved = np.isfinite(self.gamma) & needs
        if curved.any():
            x[curved] = shannon_minimiser(ratio[curved], self.gamma[curved])
        return np.where(needs, np.clip(x, self.lo, self.hi), 0.0)

    def support(self, slope: Array) -> Array:
        """c_j(s), (J,), for slopes of the users (K,); never above the least of T_j + s x in [lo, hi].

        T is convex, so T(x) >= T(y) + T'(y) (x - y) for any y. With y = `nearest`, what is left of s x is linear and
        least at an end of [lo, hi]: the constant holds even where y is not exact.
        """
        needs = self.a > 0
        y = np.where(needs, self.nearest(slope), 1.0)
        t, falls, _ = time_and_slopes(y, self.a, self.gamma)
        rest = slope[self.user] + falls
        return np.where(needs, t - falls * y + np.minimum(rest * self.lo, rest * self.hi), 0.0)

    def steepest(self, n: Array, x: Array) -> Array:
        """Slope of the tangent that is highest at a point, (K,); -1 where nothing is demanded.

        It solves Σ n_j x_j(s) = x, since Σ n_j c_j(s) - s x is concave in s; it is 0 where x is more than the options
        can use.

        Parameters
        ----------
        n : array, (J,)
            Parts of the options, summing to 1 for each user.
        x : array, (K,)
            Shares.
        """
        taken = (self.a > 0) & (n > 1e-12)
        busy = self.total(taken.astype(float)) > 0
        idle = busy & (self.total(n * taken * self.hi) <= x)
        search = busy & ~idle
        least = np.where(taken, self.slope(self.hi), np.inf)
        most = np.where(taken, self.slope(np.full(self.a.size, _LEAST_SHARE)), 0.0)
        low, high = np.full(self.users, np.inf), np.zeros(self.users)
        np.minimum.at(low, self.user, least)
        np.maximum.at(high, self.user, most)
        low, high = np.log(np.where(search, low, 1.0)), np.log(np.where(search, high, 1.0))
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            steep = self.total(n * self.nearest(np.exp(middle))) > x
            low, high = np.where(steep, middle, low), np.where(steep, high, middle)
        return np.where(search, np.exp(0.5 * (low + high)), np.where(idle, 0.0, -1.0))

    def total(self, values: Array) -> Array:
        """Sum over each user's pairs, (K,)."""
        return np.asarray(np.bincount(self.user, weights=values, minlength=self.users), dtype=np.float64)
