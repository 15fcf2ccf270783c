"""The largest weighted latency, level by level: can every user have an option that the budgets pay for?

Class: a MILP for each level D, any rate law. Exact: the rows that a level needs are made as they are broken.

Sets
    k users; j the pairs (user, workable option), k(j) its user; p price vectors found so far
Parameters
    D    level: no weighted latency may be later [s]
    l_p  prices of the budgets, scaled to sum 1 [1]
    c_pj least l_p . x over the shares x (parts of the budgets) with which option j ends in time, that is at
         min(D / w_k, deadline_k) at the latest; infinite where no shares do [1]
    R_j  part of the uplink below which the option breaks its limit on airtime [1]
Variables
    y_j  binary, option taken
Objective
    Σ c_pj y_j for the sharpest p, only to lead the search: any point that keeps the rows answers the question
Constraints (model: w L <= D and L <= deadline, Σ b <= B, Σ f <= F, `AllocationProblem`)
    one_option   Σ_{j of k} y_j = 1                     one option per user
    price        Σ_j c_pj y_j <= Σ_i l_pi = 1           what the users need costs at most what there is
    least_share  Σ_j R_j y_j <= 1                       bits_u / r_u <= uplink_airtime_max, all users together
    fresh_set    Σ_{j in s} y_j <= K - 1                s was evaluated before (numerical safeguard)
`price` is necessary for every price vector, and for all of them together sufficient: for given options the problem
is convex, so a set that does not fit at D breaks the row of its own shadow prices (`megdt_opt.shares.best`).
No point for the rows proves that the optimum is above D; a set that fits lowers the best objective. The costs depend
on D, so each level writes the rows of all known price vectors again. The bound is the largest D proven out of reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from megdt_opt.errors import SolverFailure
from megdt_opt.formulations._checks import not_together, require, workable_options
from megdt_opt.formulations._sets import restrict, shares_of, value_of
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.allocation import RawSolution
from megdt_opt.solving.highs import Clock, Program, Rows, at_most
from megdt_opt.solving.lateness import lateness_problem
from megdt_opt.solving.search.pool import Pool

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SLACK = 1e-9
"""What a row may be exceeded by: above rounding, so that no point is lost; far below what a gap of 1e-6 leaves."""

_PASSES = 15
"""Price vectors tried for a level before the MILP is solved."""

_KEPT = 12
"""Price vectors, the latest, that go on to the next level: their costs are recomputed there."""

_TRIED = 3
"""Price vectors, the latest, that a level is tried with once the time is up."""

_LEAST_GAP = 1e-8
"""A smaller one is not asked of HiGHS: a level so close below the optimum keeps its rows within `SLACK`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Numbers of the header at one level; one column a pair."""

    user: NDArray[np.int64]
    option: NDArray[np.int64]
    c: Array
    R: Array
    sets: list[NDArray[np.int64]]


def make_model(pool: Pool, mask: Mask, sets: list[NDArray[np.int64]]) -> Model:
    """The options in `mask` (K, O) under all price vectors of a pool, which knows the level."""
    user, option = np.nonzero(mask)
    c = np.array([pool.costs_at(p)[mask] for p in range(len(pool.prices))]).reshape(-1, user.size)
    return Model(user=user, option=option, c=c, R=pool.resources.lo[1][mask], sets=sets)


def one_option(q: Model) -> Rows:
    """Σ_{j of k} y_j = 1."""
    users = int(q.user.max()) + 1
    matrix = csr_array((np.ones(q.user.size), (q.user, np.arange(q.user.size))), shape=(users, q.user.size))
    return Rows(matrix=matrix, lower=np.ones(users), upper=np.ones(users))


def price(q: Model) -> Rows:
    """Σ_j c_pj y_j <= 1."""
    return at_most(q.c, 1.0 + SLACK)


def least_share(q: Model) -> Rows:
    """Σ_j R_j y_j <= 1, where airtime is limited."""
    return at_most(q.R[None, :] if q.R.any() else np.zeros((0, q.user.size)), 1.0 + SLACK)


def fresh_set(q: Model) -> Rows:
    """Σ_{j in s} y_j <= K - 1."""
    taken = np.array([q.option == s[q.user] for s in q.sets], dtype=float).reshape(-1, q.user.size)
    return at_most(taken, float(q.user.max()))


CONSTRAINTS: tuple[Callable[[Model], Rows], ...] = (one_option, price, least_share, fresh_set)


class Search:
    """Bracket of the optimum of "max" by levels that only fall.

    An option that no allocation at a level uses is used by none below it, so the problem shrinks on the way.

    Parameters
    ----------
    problem : AllocationProblem
    mask : array of bool, (K, O)
        Workable options.
    clock : Clock
    """

    def __init__(self, problem: AllocationProblem, mask: Mask, clock: Clock) -> None:
        self.problem, self.clock = problem, clock
        self.option = np.zeros(problem.users, dtype=np.int64)
        self.objective = np.inf
        self.resources = Resources.of(problem)
        self.mask = mask & self.resources.open
        self.number = np.broadcast_to(np.arange(problem.options), mask.shape)
        self.prices: list[Array] = [np.ones(3)]
        self.programs = 0
        least = np.where(self.mask, problem.fixed_s + problem.branch_s, np.inf).min(axis=1)
        self.bound = float((problem.weights * least).max())

    def offer(self, place: NDArray[np.int64], level_s: float = np.inf) -> Array | None:
        """Evaluate options (K,); prices that they cannot pay at a level, None where there are none."""
        objective, prices = value_of(self.problem, self.resources, place, level_s, self.prices[-1])
        if objective < self.objective:
            self.objective = objective
            self.option = np.take_along_axis(self.number, place[:, None], axis=1)[:, 0]
        return prices

    def start(self) -> None:
        """Options that are best at equal shares, and those that need the least airtime."""
        p, r = self.problem, self.resources
        even = p.fixed_s + np.maximum(p.branch_s, p.users * r.a.sum(axis=0))
        for score in (even, even + 1e6 * float(even.max()) * r.lo[1])[: 2 if r.lo.any() else 1]:
            self.offer(np.where(self.mask, score, np.inf).argmin(axis=1))

    def narrow(self, gap: float) -> None:
        """Lower the objective and raise the bound until the gap is proven or the time is up."""
        while self.bound < self.objective * (1 - gap):
            if not self.step(self.objective * (1 - 0.9 * gap)):
                self._raise_by_prices()
                return
            self._compress()

    def step(self, level_s: float) -> bool:
        """Raise the bound to a level, or find a set that ends by then; False where the time is up first."""
        pool = Pool(self.problem, self.resources, level_s)
        for prices in self.prices[-_KEPT:]:
            pool.add(prices)
        sharpest = self._shrink(pool)
        if sharpest < 0:
            self.bound = level_s
            return True
        q = make_model(pool, self.mask, [])
        columns = q.user.size
        program = Program(q.c[sharpest], np.zeros(columns), np.ones(columns), np.ones(columns, dtype=bool), self.clock)
        for make in CONSTRAINTS:
            program.add(make(q))
        while True:
            self.programs += 1
            answer = program.run(solutions=1)
            if answer.status == "infeasible":
                self.bound = level_s
                return True
            if answer.v is None:
                return False
            taken = answer.v > 0.5
            place = np.zeros(self.problem.users, dtype=np.int64)
            place[q.user[taken]] = q.option[taken]
            program.add(self._answer_to(place, level_s, q, pool))
            if self.objective <= level_s:
                return True

    def _shrink(self, pool: Pool) -> int:
        """Sharpen prices for a level and drop what they rule out; the best of them, -1 if they rule out the level."""
        value, sharpest, values, _ = pool.improve(self.mask, 2 * SLACK, 1.0, _PASSES)
        self.prices = list(pool.prices)
        if value > SLACK:
            return -1
        for p, v in enumerate(values):
            self.mask = self.mask & (pool.reduced_costs(p, self.mask) + v <= SLACK)
            if not self.mask.any(axis=1).all():
                return -1
        return sharpest

    def _answer_to(self, place: NDArray[np.int64], level_s: float, q: Model, pool: Pool) -> Rows:
        """Evaluate the options (K,) that keep all rows so far; the row that they break if they are too late."""
        prices = self.offer(place, level_s)
        if prices is not None:
            row = pool.costs_at(pool.add(prices))
            self.prices.append(pool.prices[-1])
            if row[np.arange(place.size), place].sum() > 1 + 1.5 * SLACK:
                return at_most(row[self.mask][None], 1 + SLACK)
        return fresh_set(replace(q, sets=[place]))

    def _raise_by_prices(self) -> None:
        """The highest level that the known prices alone prove out of reach, to a part in 2^12 of the bracket."""
        low, high = self.bound, self.objective
        for _ in range(12 if np.isfinite(high) else 0):
            middle = 0.5 * (low + high)
            pool = Pool(self.problem, self.resources, middle)
            for prices in self.prices[-_TRIED:]:
                pool.add(prices)
            low, high = (middle, high) if pool.values(self.mask)[0].max() > SLACK else (low, middle)
        self.bound = low

    def _compress(self) -> None:
        """Leave the closed options out of the arrays, if that halves them."""
        kept = int(self.mask.sum(axis=1).max())
        if 2 * kept > self.problem.options:
            return
        order = np.argsort(~self.mask, axis=1, kind="stable")[:, :kept]
        self.mask = np.take_along_axis(self.mask, order, axis=1)
        self.number = np.take_along_axis(self.number, order, axis=1)
        self.problem = restrict(self.problem, order, self.mask)
        self.resources = Resources.of(self.problem)


def solve(problem: AllocationProblem, *, gap: float, time_limit_s: float | None) -> RawSolution:
    """Optimal options of "max", any rate law.

    Parameters
    ----------
    problem : AllocationProblem
    gap : float
        Asked relative gap [1]; at least 1e-8 is left open.
    time_limit_s : float or None
        Limit [s]; the best options by then are returned, with the bound of the prices found by then.

    Raises
    ------
    InvalidInput
        For another objective than "max".
    Infeasible
        Where the limits cannot be kept.
    SolverFailure
        Where HiGHS fails, or no options are known to keep the limits when the time is up.
    """
    require(problem, "deadline_milp", objectives=("max",))
    clock = Clock(time_limit_s)
    search = Search(problem, workable_options(problem), clock)
    begin_s = clock.spent_s
    search.start()
    if not np.isfinite(search.objective):
        search.offer(keeps_limits(problem, search.mask, clock))
        if not np.isfinite(search.objective):
            raise not_together()
    search.narrow(max(gap, _LEAST_GAP))
    down, up, edge = shares_of(problem, search.option)
    proven = search.bound >= search.objective * (1 - max(gap, _LEAST_GAP))
    return RawSolution(
        option=search.option, downlink_hz=down, uplink_hz=up, edge_share=edge, bound=search.bound, build_s=begin_s,
        solve_s=clock.spent_s - begin_s,
        message=f"HiGHS: {'gap proven' if proven else 'time limit'}, {search.programs} programs",
    )  # fmt: skip


def keeps_limits(problem: AllocationProblem, mask: Mask, clock: Clock) -> NDArray[np.int64]:
    """Options (K,) whose deadlines and limits on airtime can be kept together: those of the least max L / deadline.

    Raises
    ------
    Infeasible
        Where there are none.
    SolverFailure
        Where the time is up first.
    """
    late = Search(replace(lateness_problem(problem), allowed=mask), mask, clock)
    late.start()
    if not np.isfinite(late.objective):  # not even the least airtimes fit together
        raise not_together()
    while late.objective > 1:
        if late.bound >= 1 or late.objective - late.bound <= _LEAST_GAP:
            raise not_together()
        if not late.step(min(late.objective * (1 - _LEAST_GAP), 1.0)):
            raise SolverFailure("no options are known that keep the limits; give more time")
    return late.option
