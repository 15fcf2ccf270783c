"""What options at several servers cost at prices.

An option is priced with the prices of its server alone, so that what is said of one server's options is what
`megdt_opt.pricing.priced` says of an `AllocationProblem`: the users with the options that they have at that server.
Where only budgets and caps bind, and no user's limits, there are closed forms: with linear rates, p = sqrt(w a) the
root of a demand and h its largest share, a user's option costs

    "sum": w fixed + sum_i 2 sqrt(l_i) p_i, or l_i h_i + p_i^2 / h_i where the share p_i / sqrt(l_i) is above h_i,
    "max": (sum_i sqrt(l_i) p_i)^2 / (D - w fixed); stages whose shares p_i / sqrt(l_i) (sum ...) / (D - ...) are above
           h_i are held there, at l_i h_i each, and p_i^2 / h_i of the time is theirs; the others' shares then grow,

with the prices l of its server. Prices stand in one order: downlink of all servers, then uplink, then edge, (3 E,).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.scaled import EDGE, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem

_ROUNDING = 1e-13
"""Part of a level by which a time may be exceeded and counts as kept [1]."""

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
        deadline_s=None if problem.deadline_s is None else problem.deadline_s[user],
        uplink_airtime_max_s=(
            None if problem.uplink_airtime_max_s is None else here_of(problem.uplink_airtime_max_s)
        ), objective=problem.objective,
    )  # fmt: skip
    return Part(server, user, option, inner, Resources.of(inner))


@dataclass(frozen=True)
class Table:
    """Costs of all options at prices, (K, O), infinite where closed; the shares that they take there, (3, K, O), and
    what rounding may have added, (K, O)."""

    cost: Array
    x: Array
    doubt: Array | float


@dataclass(frozen=True)
class FlatCosts:
    """Costs in closed form, of users with linear rates and without device branches.

    Parameters
    ----------
    roots : array, (3, K, O)
        sqrt(w a) [sqrt(s)].
    top : array, (3, K, O)
        Largest shares [1].
    fixed : array, (K, O)
        w fixed [s]; infinite where closed.
    budget : array of int, (3, K, O)
        Number of the price of each demand.
    """

    roots: Array
    top: Array
    fixed: Array
    budget: NDArray[np.int64]

    def of(self, user: NDArray[np.intp]) -> FlatCosts:
        """Those of some users (n,)."""
        return FlatCosts(self.roots[:, user], self.top[:, user], self.fixed[user], self.budget[:, user])

    def at(self, prices: Array, level_s: float | None) -> Table:
        """As `ServerCosts` has it."""
        r = np.sqrt(prices)[self.budget]
        if level_s is None:
            held = self.roots > r * self.top
            with np.errstate(divide="ignore", invalid="ignore"):
                x = np.where(held, self.top, self.roots / r)
                cost = np.where(held, r * r * self.top + self.roots**2 / self.top, 2.0 * r * self.roots)
            x[self.roots == 0] = 0.0
            return Table(self.fixed + cost.sum(axis=0), x, 0.0)
        # the roots have the weight in them: D - w fixed is the time that they are for
        tau = level_s - self.fixed
        needs = self.roots > 0
        free, held = needs & (r > 0), needs & (r == 0)
        asked = r * self.roots
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for _ in range(3):
                s = np.where(free, asked, 0.0).sum(axis=0)
                left = tau - np.where(held, self.roots**2 / self.top, 0.0).sum(axis=0)
                ratio = s / np.maximum(left, 1e-300)
                over = free & (ratio * self.roots > r * self.top)
                if not over.any():
                    break
                free &= ~over
                held |= over
            else:
                s = np.where(free, asked, 0.0).sum(axis=0)
                left = tau - np.where(held, self.roots**2 / self.top, 0.0).sum(axis=0)
                ratio = s / np.maximum(left, 1e-300)
            x = np.where(free, ratio * self.roots / r, np.where(held, self.top, 0.0))
            cost = np.where(held, r * r * self.top, 0.0).sum(axis=0) + s * ratio
        kept = np.where(needs.any(axis=0), left >= -_ROUNDING * level_s, left >= 0)
        return Table(np.where(kept & np.isfinite(self.fixed), cost, np.inf), x, 0.0)


@dataclass(frozen=True)
class _Together:
    server: NDArray[np.int64]
    user: NDArray[np.int64]
    option: NDArray[np.int64]
    place: tuple[NDArray[np.intp], ...]
    problem: AllocationProblem
    resources: Resources


class ServerCosts:
    """Priced costs of all options.

    Parameters
    ----------
    problem : PlacementProblem
    """

    def __init__(self, problem: PlacementProblem) -> None:
        self.problem = problem
        self.open = problem.open_options
        sequential = problem.device_branch_s is None or not problem.device_branch_s.any()
        self.flat = problem.linear and sequential and not problem.limited
        self.plain = self.flat and bool((self.top >= 1.0).all())
        self._known: dict[tuple[bytes, float | None], Table] = {}

    @cached_property
    def top(self) -> Array:
        """Largest shares, (3, K, O)."""
        p, found = self.problem, np.ones((3, *self.open.shape))
        if p.edge_share_max is not None:
            with np.errstate(divide="ignore"):
                found[EDGE] = np.minimum(p.share_caps[:, None] / p.capacities[p.option_server % p.servers], 1.0)
        return found

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
        """Demands, seconds on a whole budget with a linear rate, (3, K, O); 0 where closed. For `flat` problems."""
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
    def flat_costs(self) -> FlatCosts:
        """All costs in closed form. For `flat` problems."""
        return FlatCosts(self.roots, self.top, self.fixed, self.budget)

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
            self._known[key] = self.flat_costs.at(prices, level_s) if self.flat else self._by_server(prices, level_s)
        return self._known[key]

    def _by_server(self, prices: Array, level_s: float | None) -> Table:
        cost, doubt = np.full(self.open.shape, np.inf), np.zeros(self.open.shape)
        x = np.zeros((3, *self.open.shape))
        together = self._together
        own = prices.reshape(3, -1)[:, np.maximum(together.server, 0)]
        found = priced(together.problem, together.resources, np.where(together.server >= 0, own, 0.0), level_s)
        n, c = together.place
        k, o = together.user[n], together.option[n, c]
        cost[k, o], doubt[k, o], x[:, k, o] = found.cost[n, c], found.doubt[n, c], found.x[:, n, c]
        return Table(cost, x, doubt)

    @cached_property
    def _together(self) -> _Together:
        """All parts as one problem, in which each user counts once for each server."""
        width = max(part.option.shape[1] for part in self.parts)

        def joined(tables: list[NDArray[Any]]) -> NDArray[Any]:
            wide = [(0, 0)] * (tables[0].ndim - 1)
            return np.concatenate([np.pad(t, [*wide, (0, width - t.shape[-1])]) for t in tables], axis=-2)

        inner = [part.problem for part in self.parts]
        scaled = [part.resources for part in self.parts]
        allowed = joined([p.allowed_mask for p in inner]) > 0
        nothing = np.zeros(allowed.shape)
        problem = AllocationProblem(
            fixed_s=joined([p.fixed_s for p in inner]), downlink_bit=nothing, uplink_bit=nothing, edge_work_s=nothing,
            device_branch_s=joined([p.branch_s for p in inner]), downlink_hz=1.0, uplink_hz=1.0, allowed=allowed,
            weight=np.concatenate([p.weights for p in inner]), objective=self.problem.objective,
            deadline_s=np.concatenate([p.hard_deadline_s for p in inner]),
        )  # fmt: skip
        resources = Resources(
            a=joined([r.a for r in scaled]), gamma=np.concatenate([r.gamma for r in scaled], axis=1),
            lo=joined([r.lo for r in scaled]), hi=np.concatenate([r.hi for r in scaled], axis=1),
            open=joined([r.open for r in scaled]) > 0,
        )  # fmt: skip
        return _Together(
            server=np.concatenate([np.full(part.user.size, part.server) for part in self.parts]),
            user=np.concatenate([part.user for part in self.parts]),
            option=joined([part.option for part in self.parts]).astype(np.int64), place=np.nonzero(allowed),
            problem=problem, resources=resources,
        )  # fmt: skip
