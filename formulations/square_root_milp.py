"""Options of "sum", linear rates: the square-root rule takes the shares out, tangents make three parabolas linear.

Class: MILP, an outer approximation that is made finer until the asked gap is proven. Exact.

Sets
    k users; i in {downlink, uplink, edge} resources; j the pairs (user, workable option), k(j) its user
Parameters (dimensionless: the objective less q, over a unit U)
    p_ij  sqrt(w_k a_ij), a_ij the seconds of stage i on the whole budget;  b(k) the reference option of user k
    x_i   centre, any point: with it  q = Σ_k min_j (w F + 2 x.p)_j - |x|^2  is a lower bound of the objective
    C_j   ((w F + 2 x.p)_j - its least of the user) / U >= 0;  D_ij  (p_ij - p_i,b(k)) / sqrt(U)
    e_i   (x_i - Σ_k p_i,b(k)) / sqrt(U);  t_i  points of tangents
    c_lj  least cost of option j at prices l of the budgets, all its limits kept (`megdt_opt.pricing.priced`)
    n_lj  the same of ending by the deadline, prices scaled to sum 1
Variables
    y_j binary, option taken;  d_i  (P_i - x_i) / sqrt(U) with P_i = Σ_j p_ij y_j;  z_i  d_i^2 from below
    h >= 0  what limits add
Objective
    Σ C y + Σ z + h, as  objective = q + U (Σ C y + |d|^2) + U h:  Σ w F + |P|^2 = Σ (w F + 2 x.p) - |x|^2 + |P - x|^2
Constraints (model: Σ b <= B, Σ f <= F and the limits; for given options the budgets allow no less than Σ w F + |P|^2,
by Cauchy-Schwarz, and that with b proportional to sqrt(w bits / e))
    one_option  Σ_{j of k} y_j = 1                               one option per user
    root_sum    Σ D y - d = e                                    P = Σ p y
    tangent     z_i >= 2 t_i d_i - t_i^2                         z >= d^2
    limit       q + U (Σ C y + Σ z + h) >= Σ c_l y - Σ l         caps, device branches, deadlines, airtime
    in_time     Σ n_l y <= 1                                     deadlines, as in `deadline_milp`
    fresh_set   Σ_{j in s} y_j <= K - 1                          s was evaluated before (numerical safeguard)
First the relaxed program finds a centre, by its multipliers; then options whose C alone exceeds the distance of q from
the best objective are left out, and U is that distance, so that the tolerance of HiGHS is one of the gap. `limit` is
necessary for all prices l and, with the shadow prices of a set, exact at it; it enters only where a limit is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from megdt_opt.formulations import deadline_milp
from megdt_opt.formulations._checks import not_together, require, workable_options
from megdt_opt.formulations._sets import shares_of, unpayable
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.allocation import RawSolution
from megdt_opt.solving.highs import Answer, Clock, Program, Rows, at_least, at_most
from megdt_opt.solving.lateness import lateness_problem
from megdt_opt.solving.search.pool import Pool

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

GRID = 9
"""Tangents to each parabola at first; more are added where a solution is found."""

_LEAST_GAP = 1e-9
"""A smaller one is not asked of HiGHS."""

_ROUNDS = 10
"""Relaxed programs that look for a centre."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Numbers of the header; columns are y, d, z and h in this order."""

    user: NDArray[np.int64]
    option: NDArray[np.int64]
    centre: Array
    q: float
    unit: float
    C: Array
    D: Array
    e: Array
    t: Array
    limits: list[tuple[Array, float]] = field(default_factory=list)
    times: list[Array] = field(default_factory=list)
    sets: list[NDArray[np.int64]] = field(default_factory=list)

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self.user.size + 7


def make_model(c: Array, p: Array, mask: Mask, centre: Array, best: float) -> Model:
    """The options of `mask` (K, O) that can belong to anything better than `best`.

    Parameters
    ----------
    c : array, (K, O)
        w F [s].
    p : array, (3, K, O)
        [sqrt(s)].
    centre : array, (3,)
        [sqrt(s)].
    best : float
        Best objective so far [s].
    """
    cost = np.where(mask, c + 2 * np.tensordot(centre, p, axes=1), np.inf)
    least = cost.min(axis=1, keepdims=True)
    q = float(least.sum() - centre @ centre)
    unit = max(best - q, _LEAST_GAP * best) or 1.0  # an optimum of zero is its own bound
    user, option = np.nonzero(cost - least <= unit * (1 + 1e-6))
    reference = p[:, np.arange(len(c)), cost.argmin(axis=1)]
    t = np.linspace(-1, 1, GRID)
    return Model(
        user=user, option=option, centre=centre, q=q, unit=unit, C=(cost - least)[user, option] / unit,
        D=(p[:, user, option] - reference[:, user]) / np.sqrt(unit),
        e=(centre - reference.sum(axis=1)) / np.sqrt(unit), t=np.tile(t * np.abs(t), (3, 1)).T,
    )  # fmt: skip


def one_option(m: Model) -> Rows:
    """Σ_{j of k} y_j = 1."""
    users = int(m.user.max()) + 1
    matrix = csr_array((np.ones(m.user.size), (m.user, np.arange(m.user.size))), shape=(users, m.columns))
    return Rows(matrix=matrix, lower=np.ones(users), upper=np.ones(users))


def root_sum(m: Model) -> Rows:
    """Σ D y - d = e."""
    table = np.hstack([m.D, -np.eye(3), np.zeros((3, 4))])
    return Rows(matrix=table, lower=m.e, upper=m.e)


def tangent(m: Model) -> Rows:
    """z_i >= 2 t_i d_i - t_i^2 for each of the points (T, 3)."""
    eye = np.eye(3)
    blocks = [np.hstack([np.zeros((3, m.user.size)), -2 * t[:, None] * eye, eye, np.zeros((3, 1))]) for t in m.t]
    return at_least(np.vstack(blocks), -(m.t**2).ravel())


def limit(m: Model) -> Rows:
    """q + U (Σ C y + Σ z + h) >= Σ c_l y - Σ l."""
    rest = np.r_[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    table = [np.r_[m.C - c / m.unit, rest] for c, _ in m.limits]
    right = np.array([-(total + m.q) / m.unit for _, total in m.limits])
    return at_least(np.array(table).reshape(-1, m.columns), right)


def in_time(m: Model) -> Rows:
    """Σ n_l y <= 1."""
    return at_most(_pad(m, m.times), 1.0 + deadline_milp.SLACK)


def fresh_set(m: Model) -> Rows:
    """Σ_{j in s} y_j <= K - 1."""
    return at_most(_pad(m, [(m.option == s[m.user]).astype(float) for s in m.sets]), float(m.user.max()))


def _pad(m: Model, rows: list[Array]) -> Array:
    return np.array([np.r_[row, np.zeros(7)] for row in rows]).reshape(-1, m.columns)


CONSTRAINTS: tuple[Callable[[Model], Rows], ...] = (one_option, root_sum, tangent, limit, in_time, fresh_set)


def program(m: Model, clock: Clock) -> Program:
    """Columns and rows; a better objective than the best has |d| <= 1, as C >= 0."""
    size = m.user.size
    cost = np.r_[m.C, np.zeros(3), np.ones(4)]
    lower = np.r_[np.zeros(size), np.full(3, -1.001), np.zeros(4)]
    upper = np.r_[np.ones(size), np.full(6, 1.01), np.inf]
    milp = Program(cost, lower, upper, np.arange(m.columns) < size, clock)
    for make in CONSTRAINTS:
        milp.add(make(m))
    return milp


@dataclass(eq=False)
class Search:
    """Best options and bound; programs made finer in between.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
        The problem, scaled.
    mask : array of bool, (K, O)
        Workable options.
    clock : Clock
    """

    problem: AllocationProblem
    resources: Resources
    mask: Mask
    clock: Clock
    bound: float = -np.inf
    programs: int = 0

    def __post_init__(self) -> None:
        w = self.problem.weights[:, None]
        self.objective = np.inf
        self.option = np.zeros(self.problem.users, dtype=np.int64)
        self.rows = np.arange(self.problem.users)
        self.c, self.p = w * self.problem.fixed_s, np.sqrt(w * self.resources.a)

    def offer(self, option: NDArray[np.int64]) -> tuple[float, Array]:
        """Evaluate options (K,) with all limits; objective [s] and shadow prices (3,)."""
        found = best_shares(self.problem, self.resources, option[None])
        objective = float(found.objective[0])
        if objective < self.objective:
            self.objective, self.option = objective, option
        return objective, found.prices[0]

    def start(self) -> Array:
        """Offer options that are each best against the load of the others; their P is the first centre."""
        even = self.c + self.problem.users * (self.p**2).sum(axis=0)
        option = np.where(self.mask, even, np.inf).argmin(axis=1)
        for _ in range(_ROUNDS):
            x = self.p[:, self.rows, option].sum(axis=1)
            option = np.where(self.mask, self.c + 2 * np.tensordot(x, self.p, axes=1), np.inf).argmin(axis=1)
        option = self.switch(option)
        self.offer(option)
        return np.asarray(self.p[:, self.rows, option].sum(axis=1))

    def switch(self, option: NDArray[np.int64]) -> NDArray[np.int64]:
        """Switch single users for as long as it lowers Σ w F + |P|^2."""
        option = option.copy()
        for _ in range(4 * option.size):
            p, c = self.p[:, self.rows, option], self.c[self.rows, option]
            move = self.p - p[:, :, None]
            gain = self.c - c[:, None] + 2 * np.tensordot(p.sum(axis=1), move, axes=1) + (move**2).sum(axis=0)
            k, o = np.unravel_index(int(np.where(self.mask, gain, np.inf).argmin()), gain.shape)
            if gain[k, o] >= -1e-12 * self.objective if np.isfinite(self.objective) else gain[k, o] >= 0:
                break
            option[k] = o
        return option

    def find_centre(self, x: Array, gap: float) -> Array:
        """Multipliers of relaxed programs make a centre with a high q; rounded points are offered."""
        m = make_model(self.c, self.p, self.mask, x, self.objective)
        self.bound, x = max(self.bound, m.q), m.centre
        milp = program(m, self.clock)
        for _ in range(_ROUNDS):
            if self.bound >= self.objective * (1 - gap):
                break
            self.programs += 1
            answer = milp.run(relaxed=True)
            if answer.v is None or answer.dual is None:
                break
            users = int(m.user.max()) + 1
            weight = np.abs(answer.dual[users + 3 :].reshape(-1, 3))
            moved = m.centre + np.sqrt(m.unit) * (weight * m.t).sum(axis=0)
            q = make_model(self.c, self.p, self.mask, moved, self.objective).q
            if q > self.bound:
                self.bound, x = q, moved
            self.offer(self.switch(_chosen(m, answer)))
            d, z = answer.v[-7:-4], answer.v[-4:-1]
            if (d**2 - z).sum() * m.unit <= 0.05 * (self.objective - self.bound):
                break
            more = replace(m, t=d[None])
            milp.add(tangent(more))
            m = replace(m, t=np.vstack([m.t, d]))
        return x

    def close(self, x: Array, gap: float) -> None:
        """Whole numbers around a centre, until the gap is proven or the time is up."""
        m = make_model(self.c, self.p, self.mask, x, self.objective)
        milp = program(m, self.clock)
        seen: set[bytes] = set()
        while self.bound < self.objective * (1 - gap) and self.clock.left_s > 0:
            self.programs += 1
            answer = milp.run(abs_gap=0.25 * gap * self.objective / m.unit)
            # what was left out, and what the rows exclude, is no better than the best
            self.bound = max(self.bound, min(m.q + m.unit * answer.bound, self.objective))
            if answer.v is None:
                break
            option = _chosen(m, answer)
            if option.tobytes() in seen:
                milp.add(fresh_set(replace(m, sets=[option])))
            else:
                seen.add(option.tobytes())
                milp.add(tangent(replace(m, t=answer.v[None, -7:-4])))
                self.keep_limits(milp, m, option, *self.offer(option))
            milp.fix_at_zero(np.flatnonzero(m.C * m.unit > (self.objective - m.q) * (1 + 1e-6)))

    def keep_limits(self, milp: Program, m: Model, option: NDArray[np.int64], value: float, prices: Array) -> None:
        """Rows for a set whose value with all limits is more than its Σ w F + |P|^2."""
        plain = self.c[self.rows, option].sum() + (self.p[:, self.rows, option].sum(axis=1) ** 2).sum()
        if not np.isfinite(value):
            late = lateness_problem(self.problem)
            found = unpayable(late, option, 1.0, np.ones(3))
            if found is None:
                milp.add(fresh_set(replace(m, sets=[option])))
                return
            pool = Pool(late, Resources.of(late), 1.0)
            pool.add(found)
            milp.add(in_time(replace(m, times=[pool.costs_at(0)[m.user, m.option]])))
        elif value > plain * (1 + 1e-12):
            pool = Pool(self.problem, self.resources, None)
            pool.add(prices)
            cuts = [(pool.costs_at(0)[m.user, m.option], float(pool.prices[0].sum()))]
            milp.add(limit(replace(m, limits=cuts)))


def _chosen(m: Model, answer: Answer) -> NDArray[np.int64]:
    """The option of each user with the largest y, (K,)."""
    assert answer.v is not None
    order = np.argsort(answer.v[: m.user.size], kind="stable")
    option = np.zeros(int(m.user.max()) + 1, dtype=np.int64)
    option[m.user[order]] = m.option[order]
    return option


def solve(problem: AllocationProblem, *, gap: float, time_limit_s: float | None) -> RawSolution:
    """Optimal options of "sum", linear rates.

    Parameters
    ----------
    problem : AllocationProblem
    gap : float
        Asked relative gap [1]; at least 1e-9 is left open.
    time_limit_s : float or None
        Limit [s]; the best options and the bound by then are returned.

    Raises
    ------
    InvalidInput
        For another objective than "sum", or Shannon rates.
    Infeasible
        Where the limits cannot be kept.
    SolverFailure
        Where HiGHS fails, or no options are known to keep the limits when the time is up.
    """
    require(problem, "square_root_milp", linear=True, objectives=("sum",))
    clock = Clock(time_limit_s)
    resources = Resources.of(problem)
    search = Search(problem, resources, workable_options(problem) & resources.open, clock)
    build_s = clock.spent_s
    x = search.start()
    if not np.isfinite(search.objective):
        search.offer(deadline_milp.keeps_limits(problem, search.mask, clock))
        if not np.isfinite(search.objective):
            raise not_together()
    gap = max(gap, _LEAST_GAP)
    search.close(search.find_centre(x, 0.9 * gap), 0.9 * gap)
    down, up, edge = shares_of(problem, search.option)
    proven = search.bound >= search.objective * (1 - gap)
    return RawSolution(
        option=search.option, downlink_hz=down, uplink_hz=up, edge_share=edge, bound=search.bound,
        build_s=build_s, solve_s=clock.spent_s - build_s,
        message=f"HiGHS: {'gap proven' if proven else 'time limit'}, {search.programs} programs",
    )  # fmt: skip
