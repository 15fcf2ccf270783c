"""Exact switches of users between options at several servers, for "sum" with linear rates and no caps.

For given options the best shares yield sum_k w fixed + |P|^2, P the sum of the users' vectors of roots sqrt(w a), one
for each budget (the square-root rule, by Cauchy and Schwarz). So a user who switches changes the objective by

    w fixed' - w fixed + 2 <P, p' - p> + |p' - p|^2,

and two who switch at once change it by both of these and twice the product of their p' - p.
"""

from __future__ import annotations

import numpy as np

from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.placement import ServerCosts
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice

_ROUNDS = 100
_LITTLE = 1e-14
"""Less than this part of the objective is no gain [1]."""

_WORTH = 1e-7
"""Pairs that gain less than this part of it are left to the tree [1]."""

_PAIRED = 150
"""Switches that are looked at two at a time: those that cost least by themselves [1]."""


def descended(costs: ServerCosts, option: Choice, within: Mask) -> Choice:
    """Options (K,) after switches of single users and of pairs, within a mask (K, O), until none is for the better.

    Of pairs those are looked at whose switches cost least one by one.

    Parameters
    ----------
    costs : ServerCosts
        A `plain` problem.
    option : array of int, (K,)
    within : array of bool, (K, O)
    """
    option = option.copy()
    fixed = np.where(within, costs.fixed, np.inf)
    for _ in range(_ROUNDS):
        total = _total(costs, option)
        change = _changes(costs, option, total, fixed)
        best = change.argmin(axis=1)
        gain = change[np.arange(len(option)), best]
        users = np.flatnonzero(gain < -_LITTLE * float(total @ total))
        moved = False
        for k in users[np.argsort(gain[users], kind="stable")].tolist():
            moved |= _switched(costs, option, total, fixed, k, int(best[k]))
        if not moved and not _paired(costs, option, total, change):
            break
    return option


def _changes(costs: ServerCosts, option: Choice, total: Array, fixed: Array) -> Array:
    """What switches of single users change, (K, O); infinite for none."""
    rows, budget, roots = np.arange(len(option)), costs.budget, costs.roots
    own, price = roots[:, rows, option], total[budget]
    change = fixed + 2.0 * (price * roots).sum(axis=0) + (roots**2).sum(axis=0)
    same = budget[0] == budget[0][rows, option][:, None]
    change -= 2.0 * np.where(same, (roots * own[:, :, None]).sum(axis=0), 0.0)
    here = fixed[rows, option] + 2.0 * (price[:, rows, option] * own).sum(axis=0) - (own**2).sum(axis=0)
    change -= here[:, None]
    change[rows, option] = np.inf
    return np.asarray(change, dtype=np.float64)


def _paired(costs: ServerCosts, option: Choice, total: Array, change: Array) -> bool:
    """Let two users switch at once where that is for the better; False where it is for none."""
    flat = change.ravel()
    most = min(_PAIRED, flat.size)
    likely = np.argpartition(flat, most - 1)[:most]
    likely = likely[np.isfinite(flat[likely])]
    user, to = np.divmod(likely, change.shape[1])
    steps, place = np.zeros((len(likely), len(total))), np.arange(len(likely))
    for i in range(3):
        np.add.at(steps, (place, costs.budget[i, user, option[user]]), -costs.roots[i, user, option[user]])
        np.add.at(steps, (place, costs.budget[i, user, to]), costs.roots[i, user, to])
    both = flat[likely][:, None] + flat[likely] + 2.0 * steps @ steps.T
    both[user[:, None] == user] = np.inf
    if not both.size or not both.min() < -_WORTH * float(total @ total):
        return False
    for n in np.unravel_index(int(both.argmin()), both.shape):
        option[user[n]] = to[n]
    return True


def _total(costs: ServerCosts, option: Choice) -> Array:
    """P, (3 E,)."""
    rows, total = np.arange(len(option)), np.zeros(3 * costs.problem.servers)
    for i in range(3):
        total += np.bincount(
            costs.budget[i, rows, option], weights=costs.roots[i, rows, option], minlength=len(total)
        )  # fmt: skip
    return total


def _switched(costs: ServerCosts, option: Choice, total: Array, fixed: Array, k: int, o: int) -> bool:
    """Let a user switch where that is for the better still; `option` and `total` follow."""
    step = np.zeros(len(total))
    step[costs.budget[:, k, option[k]]] -= costs.roots[:, k, option[k]]
    step[costs.budget[:, k, o]] += costs.roots[:, k, o]
    change = fixed[k, o] - fixed[k, option[k]] + 2.0 * float(total @ step) + float(step @ step)
    if not change < -_LITTLE * float(total @ total):
        return False
    option[k] = o
    total += step
    return True
