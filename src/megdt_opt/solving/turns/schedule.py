"""Schedules of chains in turns: starts from options and an order, and the best shares for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.turns import TurnCosts, densities
from megdt_opt.shares.turns import best_sum, level_of

Choice = NDArray[np.int64]


@dataclass(frozen=True)
class Schedule:
    """As `SequencedEdge` has it."""

    option: Choice
    order: Choice
    start_s: Array
    downlink_hz: Array
    prefix_start_s: Array


def scheduled(costs: TurnCosts, option: Choice, chains: Choice) -> Schedule:
    """The earliest starts of chains in an order, with the best shares.

    Parameters
    ----------
    costs : TurnCosts
    option : array of int, (K,)
    chains : array of int, (N,)
        Users with turns and prefixes (K + g); those who have none, and prefixes that nobody follows, are left out.
    """
    p = costs.problem
    rows, users = np.arange(p.users), p.users
    turn = costs.turn[rows, option]
    needed = np.zeros(p.groups, dtype=bool)
    member = turn & (p.group_of >= 0)
    needed[p.group_of[member]] = True
    needed &= p.prefix_works > 0
    served = np.r_[turn, needed]
    order = chains[served[chains]]
    begin, now = np.full(users + p.groups, np.nan), 0.0
    ready = np.r_[p.release_s[rows, option], np.zeros(p.groups)].tolist()
    work = np.r_[p.edge_work_s[rows, option], p.prefix_works].tolist()
    for chain in order.tolist():
        now = max(now, ready[chain])
        begin[chain] = now
        now += work[chain]
    end = np.where(turn, begin[:users] + p.edge_work_s[rows, option], p.release_s[rows, option])
    end = end + p.after_s[rows, option]
    a = costs.a[rows, option]
    if p.objective == "sum":
        x, _ = best_sum(p.weights, a, costs.gamma)
    else:
        _, x = level_of(end, p.weights, a, costs.gamma)
    return Schedule(option, order, begin[:users], x * p.downlink_hz, begin[users:])


def in_smiths_order(costs: TurnCosts, option: Choice) -> Schedule:
    """Chains that are ready together, in falling order of w / g."""
    density = densities(costs)[np.arange(option.size), option]
    return scheduled(costs, option, np.argsort(-density, kind="stable"))
