"""Exact switches of single users between options at several servers, for "sum" with linear rates and no caps.

For given options the best shares yield sum_k w fixed + |P|^2, P the sum of the users' vectors of roots sqrt(w a), one
for each budget (the square-root rule, by Cauchy and Schwarz). So a user who switches changes the objective by

    w fixed' - w fixed + 2 <P, p' - p> + |p' - p|^2.
"""

from __future__ import annotations

import numpy as np

from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.placement import ServerCosts
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice

_ROUNDS = 50


def descended(costs: ServerCosts, option: Choice, within: Mask) -> Choice:
    """Options (K,) after switches of single users, within a mask (K, O), until none is for the better.

    Parameters
    ----------
    costs : ServerCosts
        A `plain` problem.
    option : array of int, (K,)
    within : array of bool, (K, O)
    """
    option = option.copy()
    rows = np.arange(len(option))
    budget, roots = costs.budget, costs.roots
    fixed = np.where(within, costs.fixed, np.inf)
    for _ in range(_ROUNDS):
        total = _total(costs, option)
        own = roots[:, rows, option]
        price = total[budget]
        change = fixed + 2.0 * (price * roots).sum(axis=0) + (roots**2).sum(axis=0)
        same = budget[0] == budget[0][rows, option][:, None]
        change -= 2.0 * np.where(same, (roots * own[:, :, None]).sum(axis=0), 0.0)
        here = fixed[rows, option] + 2.0 * (price[:, rows, option] * own).sum(axis=0) - (own**2).sum(axis=0)
        change -= here[:, None]
        change[rows, option] = 0.0
        best = change.argmin(axis=1)
        gain = change[rows, best]
        scale = float(costs.fixed[rows, option].sum() + total @ total)
        users = np.flatnonzero(gain < -1e-13 * scale)
        if not users.size:
            break
        moved = False
        for k in users[np.argsort(gain[users], kind="stable")].tolist():
            moved |= _switched(costs, option, total, fixed, k, int(best[k]))
        if not moved:
            break
    return option


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
    if not change < -1e-14 * float(total @ total):
        return False
    option[k] = o
    total += step
    return True
