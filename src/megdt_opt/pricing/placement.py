"""What options at several servers cost at prices, and which models the servers then hold.

An option is priced with the prices of its server alone, so that what is said of one server's options is what
`megdt_opt.pricing.priced` says of an `AllocationProblem`: the users with the options that they have at that server. For
"sum" with linear rates, sqrt(w a_i) the root of a demand and no other limit than the budgets, a user's option costs

    c(l) = w fixed + 2 sum_i sqrt(l_i) sqrt(w a_i)      with the prices l of its server,

which leaves out that no share is above the whole budget, and so is a lower bound; it is what very many users are priced
by. Prices stand in one order: downlink of all servers, then uplink, then edge, (3 E,).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem

MANY = 20_000
"""Options in all from which on shares above a whole budget are not ruled out [1]."""

_KEPT = 4_000_000
"""Numbers in the tables that are kept [1]."""


@dataclass(frozen=True)
class Part:
    """The users of one server, with the options that they have there; of no server, with those on their devices.

    Parameters
    ----------
    server : int
        -1 for none.
    user : array of int, (n,)
    option : array of int, (n, c)
        Numbers of the options; 0 where `problem.allowed` is false because there are no more.
    problem : AllocationProblem
    resources : Resources
        The same, scaled.
    """

    server: int
    user: NDArray[np.int64]
    option: NDArray[np.int64]
    problem: AllocationProblem
    resources: Resources


def part_of(
    problem: PlacementProblem, server: int, user: NDArray[np.int64], option: NDArray[np.int64], here: NDArray[np.bool_]
) -> Part:
    """Users (n,) of a server with some of their options (n, c), of which those in `here` (n, c) are there."""

    def here_of(table: Array) -> Array:
        return np.take_along_axis(table[user], option, axis=1)

    def law(name: str) -> Array | None:
        given = getattr(problem, name) is not None
        return problem.law(name.partition("_")[0])[user, max(server, 0)] if given else None

    budgets = problem.budgets[:, server] if server != NO_SERVER else np.ones(3)
    inner = AllocationProblem(
        fixed_s=here_of(problem.fixed_s), downlink_bit=here_of(problem.downlink_bit),
        uplink_bit=here_of(problem.uplink_bit), edge_work_s=here_of(problem.edge_work_s),
        device_branch_s=None if problem.device_branch_s is None else here_of(problem.device_branch_s), allowed=here,
        downlink_hz=float(budgets[0]), uplink_hz=float(budgets[1]), edge_capacity=float(budgets[2]),
        downlink_efficiency=law("downlink_efficiency"), uplink_efficiency=law("uplink_efficiency"),
        downlink_snr_hz=law("downlink_snr_hz"), uplink_snr_hz=law("uplink_snr_hz"), weight=problem.weights[user],
        edge_share_max=None if problem.edge_share_max is None else problem.share_caps[user],
        objective=problem.objective,
    )  # fmt: skip
    return Part(server, user, option, inner, Resources.of(inner))


@dataclass(frozen=True)
class Table:
    """Costs of all options at prices, (K, O), infinite where closed; the shares that they take there, (3, K, O), and
    what rounding may have added, (K, O)."""

    cost: Array
    x: Array
    doubt: Array | float


class ServerCosts:
    """Priced costs of all options.

    Parameters
    ----------
    problem : PlacementProblem
    """

    def __init__(self, problem: PlacementProblem) -> None:
        self.problem = problem
        self.open = problem.open_options
        self.plain = (
            problem.linear
            and (problem.device_branch_s is None or not problem.device_branch_s.any())
            and (problem.edge_share_max is None or bool((problem.share_caps[:, None] >= problem.capacities).all()))
        )
        self.many = self.plain and self.open.size >= MANY
        self._known: dict[tuple[bytes, float | None], Table] = {}

    @cached_property
    def parts(self) -> list[Part]:
        """The users of each server, and of none, that have options there."""
        found = []
        for server in (NO_SERVER, *range(self.problem.servers)):
            here = self.open & (self.problem.option_server == server)
            user = np.flatnonzero(here.any(axis=1))
            if user.size:
                # the options that are there first
                option = np.argsort(~here[user], axis=1, kind="stable")[:, : int(here[user].sum(axis=1).max())]
                found.append(
                    part_of(self.problem, server, user, option, np.take_along_axis(here[user], option, axis=1))
                )
        return found

    @cached_property
    def budget(self) -> NDArray[np.int64]:
        """Number of the price that each stage of an option is charged, (3, K, O); of no server, that of the last."""
        e = self.problem.servers
        result: NDArray[np.int64] = np.arange(3)[:, None, None] * e + self.problem.option_server % e
        return result

    @cached_property
    def a(self) -> Array:
        """Demands, seconds on a whole budget with a linear rate, (3, K, O); 0 where closed. For `plain` problems."""
        p = self.problem
        rows, server = np.arange(p.users)[:, None], p.option_server % p.servers
        found = np.zeros((3, *self.open.shape))
        for i, name in enumerate(("downlink_bit", "uplink_bit", "edge_work_s")):
            amount = getattr(p, name)
            speed = p.budgets[i][server]
            if i < 2:
                speed = speed * p.law(("downlink", "uplink")[i])[rows, server]
            needs = self.open & (amount > 0)
            np.divide(amount, speed, out=found[i], where=needs)
        return found

    @cached_property
    def roots(self) -> Array:
        """sqrt(w a), (3, K, O) [sqrt(s)]."""
        return np.asarray(np.sqrt(self.problem.weights[:, None] * self.a))

    @cached_property
    def fixed(self) -> Array:
        """w fixed, (K, O) [s]; infinite where closed."""
        return np.where(self.open, self.problem.weights[:, None] * self.problem.fixed_s, np.inf)

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Budgets that some open option demands, (3 E,)."""
        found = np.zeros(3 * self.problem.servers, dtype=bool)
        for i, name in enumerate(("downlink_bit", "uplink_bit", "edge_work_s")):
            found[self.budget[i][self.open & (getattr(self.problem, name) > 0)]] = True
        return found

    def at(self, prices: Array, level_s: float | None) -> Table:
        """Costs of all options at prices (3 E,), for "max" those of keeping a level."""
        key = (prices.tobytes(), level_s)
        if key not in self._known:
            if len(self._known) * self.open.size * 4 > _KEPT:
                self._known.clear()
            self._known[key] = self._plainly(prices, level_s) if self.many else self._by_server(prices, level_s)
        return self._known[key]

    def _by_server(self, prices: Array, level_s: float | None) -> Table:
        cost, doubt = np.full(self.open.shape, np.inf), np.zeros(self.open.shape)
        x = np.zeros((3, *self.open.shape))
        each = prices.reshape(3, -1)
        for part in self.parts:
            own = np.zeros(3) if part.server == NO_SERVER else each[:, part.server]
            found = priced(part.problem, part.resources, own, level_s)
            n, c = np.nonzero(part.problem.allowed_mask)
            k, o = part.user[n], part.option[n, c]
            cost[k, o], doubt[k, o], x[:, k, o] = found.cost[n, c], found.doubt[n, c], found.x[:, n, c]
        return Table(cost, x, doubt)

    def _plainly(self, prices: Array, level_s: float | None) -> Table:
        root = np.sqrt(prices)
        s = sum(root[self.budget[i]] * self.roots[i] for i in range(3))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inverse = np.where(root > 0, 1.0 / root, 0.0)
            if level_s is None:
                cost = self.fixed + 2.0 * s
                scale = np.ones(1)
            else:
                # w (D / w - fixed) in place of tau, for the roots have the weight in them
                tau = level_s - self.fixed
                busy = (self.roots > 0).any(axis=0)
                scale = np.where(tau > 0, s / tau, 0.0)
                cost = np.where(busy, np.where(tau > 0, scale * s, np.inf), np.where(tau >= 0, 0.0, np.inf))
            x = scale * self.roots * inverse[self.budget]
        return Table(cost, x, 0.0)
