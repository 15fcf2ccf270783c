"""Which users can be on time together, for the objective "missed".

A choice is an option to be on time with, or the number O: to be late. A late user needs no share, save the least
uplink share with which one of its options keeps its limit on airtime; that part is set aside before the others share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.priced import least_uplink
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.goal import Goal
from megdt_opt.shares.interior import Shares, interior, latencies

_MOST_LATE = 1.0 - 1e-14
"""Largest L / deadline that counts as on time: scaling shares to the budgets may cost the last digit."""


class OnTime:
    """Shares with which chosen users are on time.

    Parameters
    ----------
    problem : AllocationProblem
        With objective "missed".
    resources : Resources
        The problem, scaled.
    """

    def __init__(self, problem: AllocationProblem, resources: Resources) -> None:
        self.problem = problem
        self.resources = resources
        self.least = least_uplink(resources)
        self._rows = np.arange(problem.users)

    @property
    def late(self) -> int:
        """The choice of being late: O."""
        return self.problem.options

    def weight(self, choice: NDArray[np.int64]) -> Array:
        """Weights of the late users of choices (S, K), (S,) [1]."""
        result: Array = np.where(choice == self.late, self.problem.weights, 0.0).sum(axis=1)
        return result

    def fit(self, choice: NDArray[np.int64], deadline: float = np.inf) -> Shares:
        """Shares with the least L / deadline among the users that shall be on time, for choices (S, K).

        At the deadline, `time.monotonic()` [s], it ends with the shares reached by then.

        Returns
        -------
        Shares
            Shares (S, 3, K) of the whole budgets, the largest L / deadline [1], and prices that prove it.
        """
        late = choice == self.late
        option = np.where(late, 0, choice)
        good = np.all(self.resources.open[self._rows, option] | late, axis=1)
        a, gamma, lo, hi = (np.array(v) for v in self.resources.pick(option))
        fixed = np.where(late, 0.0, self.problem.fixed_s[self._rows, option])
        branch = np.where(late, 0.0, self.problem.branch_s[self._rows, option])
        a[np.broadcast_to(late[:, None, :], a.shape)] = 0.0
        lo[np.broadcast_to(late[:, None, :], lo.shape)] = 0.0
        aside = np.where(late, self.least, 0.0)
        left = 1.0 - aside.sum(axis=1)
        good &= (left > 1e-12) | (a[:, UPLINK] == 0).all(axis=1) & (left > -1e-12)
        # the rest of the uplink as a budget of 1: R(x) keeps its form with gamma over what is left
        scale = np.where(left > 1e-12, left, 1.0)[:, None]
        for table in (a, gamma, lo, hi):
            table[:, UPLINK] /= scale
        hi[:, UPLINK] = np.minimum(hi[:, UPLINK], 1.0)
        good &= (lo <= hi).all(axis=(1, 2))
        goal = Goal(weight=1.0 / self.problem.on_time_s, sum_weight=0.0, max_weight=1.0)
        found = interior(goal, a, gamma, lo, hi, fixed, branch, np.full(fixed.shape, np.inf), good, deadline)
        x = found.x.copy()
        x[:, UPLINK] = x[:, UPLINK] * scale + aside
        prices = found.prices.copy()
        prices[:, UPLINK] /= scale[:, 0]
        return Shares(x=x, objective=found.objective, prices=prices, bound=found.bound, tilts=found.tilts)

    def together(self, ratio: Array) -> NDArray[np.bool_]:
        """Whether the largest L / deadline is on time."""
        result: NDArray[np.bool_] = np.asarray(ratio <= _MOST_LATE)
        return result

    def filled(self, choice: NDArray[np.int64], x: Array) -> Array | None:
        """Shares (3, K) of choices (K,), scaled to the budgets; None where some user is late with them."""
        late = choice == self.late
        option = np.where(late, 0, choice)
        aside = np.zeros(x.shape)
        aside[UPLINK] = np.where(late, self.least, 0.0)
        on = np.where(late, 0.0, x)
        used, left = on.sum(axis=1), 1.0 - aside.sum(axis=1)
        if (left < 0.0).any():
            return None
        a, gamma, lo, hi = (table[0] for table in self.resources.pick(option[None]))
        on = np.minimum(on * (left / np.where(used > 0.0, used, 1.0))[:, None], hi)
        fixed, branch = self.problem.fixed_s[self._rows, option], self.problem.branch_s[self._rows, option]
        seconds = latencies(a[None], gamma[None], on[None], fixed, branch)[0]
        good = late | (self.together(seconds / self.problem.on_time_s) & (on >= lo).all(axis=0))
        return on + aside if good.all() else None

    def settle(self, choice: NDArray[np.int64], x: Array) -> tuple[NDArray[np.int64], Array]:
        """Options of all users and shares (3, K), with what the others can spare for the late ones.

        Late users take the option with the least uplink share set aside, then with no demand, then the fastest at
        equal shares. Every user on time gives back what it does not need to be on time, and the late ones share that
        by the square-root rule. Where nothing is left of a resource, a late user that needs it is never served.

        Parameters
        ----------
        choice : array of int, (K,)
        x : array, (3, K)
            Shares with which the others are on time.
        """
        p, r = self.problem, self.resources
        late = choice == self.late
        total = r.a.sum(axis=0)
        keys = (p.fixed_s + np.maximum(p.branch_s, p.users * total), total > 0, r.lo[UPLINK], ~r.open)
        option = np.where(late, np.lexsort(keys, axis=1)[:, 0], choice)
        a, gamma, lo, hi = (table[0] for table in r.pick(option[None]))
        fixed, branch = p.fixed_s[self._rows, option], p.branch_s[self._rows, option]
        little, enough = np.zeros(p.users), np.ones(p.users)
        for _ in range(60):
            part = 0.5 * (little + enough)
            tried = np.maximum(part * x, lo)
            slow = latencies(a[None], gamma[None], tried[None], fixed[None], branch[None])[0] > p.on_time_s * _MOST_LATE
            little, enough = np.where(slow, part, little), np.where(slow, enough, part)
        kept = np.where(late, np.where(a > 0, lo, 0.0), np.maximum(enough * x, np.where(a > 0, lo, 0.0)))
        spare = np.maximum(1.0 - kept.sum(axis=1), 0.0)
        root = np.where(late, np.sqrt(p.weights * a), 0.0)
        sums = root.sum(axis=1)
        given = root * (spare / np.where(sums > 0, sums, 1.0))[:, None]
        # without late users that could use it, the others keep their shares
        kept = np.where((sums > 0)[:, None], kept, np.where(late, kept, x))
        return option, np.minimum(kept + given, np.where(late, hi, np.inf))
