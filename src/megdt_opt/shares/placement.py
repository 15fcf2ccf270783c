"""Best shares for given options at several servers: the servers are apart, and each is settled as one is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.placement import ServerCosts, part_of
from megdt_opt.pricing.scaled import Array
from megdt_opt.problem.placement_problem import NO_SERVER
from megdt_opt.shares.best import best_shares
from megdt_opt.shares.closed_forms import equal_deadlines


@dataclass(frozen=True)
class ServerShares:
    """Best shares of given options.

    Parameters
    ----------
    objective : float
        Infinite where an option is closed [s].
    prices : array, (3 E,)
        Of the budgets, which prove it; for "max" those of the server that is latest [s].
    balanced : array, (3 E,)
        For "max" the prices of every server, which sum to 1 for each: where to look for prices of all; else `prices`.
    x : array, (3, K)
        Parts of the budgets of each user's server [1].
    level_s : array, (E + 1,)
        What each server contributes to the objective, last that of the devices [s].
    """

    objective: float
    prices: Array
    balanced: Array
    x: Array
    level_s: Array


def server_shares(costs: ServerCosts, option: NDArray[np.int64], deadline: float = np.inf) -> ServerShares:
    """Optimal shares for options (K,).

    Parameters
    ----------
    costs : ServerCosts
        The problem, read once.
    option : array of int, (K,)
    deadline : float
        `time.monotonic()` at which to end with what was reached [s].
    """
    p = costs.problem
    rows, largest = np.arange(p.users), p.objective == "max"
    server = p.option_server[rows, option]
    level, prices, x = np.zeros(p.servers + 1), np.zeros((3, p.servers)), np.zeros((3, p.users))
    own = p.weights * (p.fixed_s[rows, option] + p.branch_s[rows, option])
    alone = server == NO_SERVER
    level[-1] = (own[alone].max(initial=0.0) if largest else own[alone].sum()) if alone.any() else 0.0
    if not costs.open[rows, option].all():
        return ServerShares(np.inf, prices.ravel(), prices.ravel(), x, level)
    for e in range(p.servers):
        k = np.flatnonzero(server == e)
        if not k.size:
            continue
        level[e], prices[:, e], x[:, k] = of_server(costs, e, k, option[k], deadline)
    balanced = prices
    if largest:
        total = prices.sum(axis=0)
        balanced = prices / np.where(total > 0, total, 1.0)
        prices = np.where(np.arange(p.servers) == int(level.argmax()), prices, 0.0)
    objective = float(level.max() if largest else level.sum())
    return ServerShares(objective, prices.ravel(), balanced.ravel(), x, level)


def of_server(
    costs: ServerCosts, server: int, user: NDArray[np.int64], option: NDArray[np.int64], deadline: float = np.inf
) -> tuple[float, Array, Array]:
    """Objective [s], prices (3,) and shares (3, n) of the users (n,) of one server with given options (n,)."""
    p = costs.problem
    if costs.plain and p.objective == "sum":
        root = costs.roots[:, user, option]
        total = root.sum(axis=1)
        x = np.divide(root, total[:, None], out=np.zeros_like(root), where=root > 0)
        return float((p.weights[user] * p.fixed_s[user, option]).sum() + total @ total), total**2, x
    if costs.plain:
        a = costs.a[:, user, option][None]
        fixed, weight = p.fixed_s[user, option], p.weights[user]
        found = equal_deadlines(a, np.ones_like(a), fixed[None], weight, np.zeros(1))
        if found.settled[0]:
            x = found.x[0]
            times = np.divide(a[0], x, out=np.zeros_like(x), where=a[0] > 0).sum(axis=0)
            return float((weight * (fixed + times)).max()), found.prices[0], x
    part = part_of(p, server, user, option[:, None], np.ones((user.size, 1), dtype=bool))
    best = best_shares(part.problem, part.resources, np.zeros((1, user.size), dtype=np.int64), deadline)
    return float(best.objective[0]), best.prices[0], best.x[0]
