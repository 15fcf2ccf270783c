"""Options and shares together: outer approximation of the disjunctive program, by linear programs in HiGHS.

Class: MILP in rounds; each is a relaxation of the program of `option_gdp`, and their bounds rise to its optimum. Linear
and Shannon rates. Exact in the limit; stopped at the asked gap.

Sets
    k users; i in {downlink, uplink, edge} resources; j the pairs (user, workable option), k(j) its user; s slopes
Parameters (dimensionless: shares in budget/K, times in a typical latency)
    a_ij, γ_ik  stage time T_ij(x) = a / x, or a / (x log1p(γ/x)) for Shannon (`solving/resources.py`)
    lo_ij, hi_ik  least share (from the limit on airtime), largest share (cap, budget)
    F_j  fixed latency;  G_j  fixed latency + device branch;  R_j  limit on the uplink stage;  C_k  share cap
    E_k  deadline;  w_k  weight;  m  weight of the largest latency
    c_ij(s)  least of T_ij(x) + s x over lo <= x <= hi, 0 for a stage that the option does not have
Variables
    n_j binary, option taken;  x_ik share;  t_ik stage time;  v_k latency;  h largest weighted latency
Objective
    sum: (1/K) Σ w v;  max: h;  mixed: (1/K) (Σ w v + m h)
Constraints (model: L = fixed + max(device_branch, bits_u/r_u + work/f + bits_d/r_d), `AllocationProblem`)
    one_option      Σ_{j of k} n_j = 1                   one option per user
    budget          Σ_k x_ik <= K                        sum b <= B, sum f <= F
    stage_time      t_ik + s x_ik >= Σ_{j of k} c_ij(s) n_j, for slopes s       t >= demand / rate
    share_limit     x_edge <= C                          f <= edge_share_max
    stage_limit     t_up <= Σ R n                        bits_u / r_u <= uplink_airtime_max
    edge_branch     v >= Σ F n + Σ_i t_i                 L >= fixed + edge branch
    device_branch   v >= Σ G n                           L >= fixed + device_branch
    deadline        v <= E                               L <= deadline
    largest         h >= w v                             epigraph of max_k w_k L_k
The tangent. In the hull, a pair has its own t'_j, x'_j and the tangents t'_j >= T(x0) n_j + T'(x0) (x'_j - x0 n_j).
Take for each pair the x0 at which T' = -s, and add: the parts vanish into t and x, and t + s x >= Σ c_j(s) n_j is left.
Over all s these rows are the hull of (n, x, t) of one stage, so no parts of pairs are needed. c is computed as the
tangent at the best x0 found, less what it can exceed T by in [lo, hi] if its slope is not quite s: always valid.
Rounds. First with continuous n: the slope of the most violated row solves Σ n_j x_j(s) = x (bisection). Then with
them: the options of each round get their best shares (`_shares.py`: the incumbent), and the tangents there make
the next round see these options at their true cost, so none comes twice; options that cannot keep the limits are cut
off. Bound: HiGHS' dual bound of the last round, less `DOUBT`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from megdt_opt.errors import SolverFailure
from megdt_opt.formulations import _shares
from megdt_opt.formulations._checks import RESOURCES, not_together, require, workable_options
from megdt_opt.formulations._scaling import Units, units
from megdt_opt.formulations._tangents import Stage
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.radio.rates import shannon_band, time_and_slopes
from megdt_opt.solving.allocation import RawSolution
from megdt_opt.solving.highs import Answer, Clock, Program, Rows

Array = NDArray[np.float64]

DOUBT = 1e-8
"""What is taken off every bound for HiGHS' tolerances, relatively and in units of an objective near 1."""

_RELAXED_ROUNDS = 60
_ROUNDS = 500
_VIOLATED = 1e-8
"""Rows that a point breaks by less, relatively, are not added."""
_FLAT = 1e-5
_FLAT_ROUNDS = 5
"""The relaxed rounds end when their bound has risen by less than `_FLAT`, relatively, in so many of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Numbers of the header; J pairs, tables of resources in the order downlink, uplink, edge."""

    objective: str
    users: int
    user: NDArray[np.int64]  # (J,)
    option: NDArray[np.int64]  # (J,)
    stages: tuple[Stage, ...]
    u: Units
    slopes: list[tuple[int, int, float]] = field(default_factory=list)

    @property
    def pairs(self) -> int:
        """J; the columns are n (J), x (3, K), t (3, K), v (K) and h."""
        return self.user.size

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self.pairs + 7 * self.users + 1

    def x(self, i: int, k: int) -> int:
        """Column of x_ik."""
        return self.pairs + i * self.users + k

    def t(self, i: int, k: int) -> int:
        """Column of t_ik."""
        return self.pairs + (3 + i) * self.users + k

    def v(self, k: int) -> int:
        """Column of v_k."""
        return self.pairs + 6 * self.users + k

    @property
    def h(self) -> int:
        """Column of h."""
        return self.pairs + 7 * self.users

    def of(self, k: int) -> NDArray[np.int64]:
        """Pairs of a user."""
        return np.flatnonzero(self.user == k)


def make_model(problem: AllocationProblem, mask: NDArray[np.bool_]) -> Model:
    """Numbers for the options in `mask` (K, O), with the slopes of equal shares."""
    u, users = units(problem, mask), problem.users
    user, option = np.nonzero(mask)
    unit_s = u.objective_unit_s / float(problem.weights.mean())
    stages = []
    for i, side in enumerate(RESOURCES):
        a, gamma, lo = u.demand[i, mask], np.full(user.size, np.inf), np.zeros(user.size)
        snr = getattr(problem, f"{side}_snr_hz", None)
        if snr is not None:
            band, bits = getattr(problem, f"{side}_hz") / users, getattr(problem, f"{side}_bit")[mask]
            gamma = np.where(bits > 0, snr[user] / band if band > 0 else np.inf, np.inf)
            a = np.where(bits > 0, bits * np.log(2.0) / band if band > 0 else 0.0, 0.0) / unit_s
        if side == "uplink":
            limit = u.airtime[mask]
            if snr is None:
                lo = np.divide(a, limit, out=lo, where=a > 0)
            else:
                lo = np.where(a > 0, shannon_band(a / np.where(a > 0, limit, 1.0) / np.log(2.0), gamma), 0.0)
        hi = np.minimum(u.cap, users)[user] if side == "edge" else np.full(user.size, float(users))
        stages.append(Stage(user=user, users=users, a=a, gamma=gamma, lo=np.minimum(lo, hi), hi=hi))
    q = Model(objective=problem.objective, users=users, user=user, option=option, stages=tuple(stages), u=u)
    for i, stage in enumerate(q.stages):
        slopes = stage.slope(np.ones(user.size))
        q.slopes.extend(sorted({(i, int(k), float(s)) for k, s in zip(user, slopes, strict=True) if s > 0}))
    return q


def rows(q: Model, entries: list[dict[int, float]], *, lower: ArrayLike = -np.inf, upper: ArrayLike = np.inf) -> Rows:
    """Rows from tables of column to value, each over a power of two, so that its largest value is near 1."""
    scale = np.array([2.0 ** -np.round(np.log2(max(map(abs, one.values())))) for one in entries])
    size = np.array([len(one) for one in entries], dtype=np.int64)
    values = np.array([value for one in entries for value in one.values()]) * np.repeat(scale, size)
    columns = np.array([column for one in entries for column in one], dtype=np.int64)
    matrix = csr_array((values, columns, np.r_[0, np.cumsum(size)]), shape=(size.size, q.columns))
    low, high = (np.broadcast_to(np.asarray(side, dtype=float), size.shape) * scale for side in (lower, upper))
    return Rows(matrix=matrix, lower=low, upper=high)


def one_option(q: Model) -> Rows:
    """Σ_{j of k} n_j = 1."""
    return rows(q, [{int(j): 1.0 for j in q.of(k)} for k in range(q.users)], lower=1, upper=1)


def budget(q: Model) -> Rows:
    """Σ_k x_ik <= K for each resource."""
    return rows(q, [{q.x(i, k): 1.0 for k in range(q.users)} for i in range(3)], upper=q.users)


def stage_time(q: Model) -> Rows:
    """t + s x >= Σ c(s) n for the slopes so far."""
    return tangents(q, q.slopes)


def share_limit(q: Model) -> Rows:
    """x_edge <= C where there is a cap."""
    capped = np.flatnonzero(np.isfinite(q.u.cap))
    return rows(q, [{q.x(2, int(k)): 1.0} for k in capped], upper=q.u.cap[capped])


def stage_limit(q: Model) -> Rows:
    """t_up <= Σ R n where airtime is limited."""
    R = q.u.airtime[q.user, q.option]
    limited = range(q.users if np.isfinite(R).all() else 0)
    return rows(q, [{q.t(1, k): 1.0} | {int(j): -float(R[j]) for j in q.of(k)} for k in limited], upper=0)


def edge_branch(q: Model) -> Rows:
    """v >= Σ F n + Σ_i t_i."""
    F = q.u.fixed[q.user, q.option]
    each = [
        {q.v(k): 1.0} | {q.t(i, k): -1.0 for i in range(3)} | {int(j): -float(F[j]) for j in q.of(k)}
        for k in range(q.users)
    ]
    return rows(q, each, lower=0)


def device_branch(q: Model) -> Rows:
    """v >= Σ G n."""
    G = q.u.floor[q.user, q.option]
    each = [{q.v(k): 1.0} | {int(j): -float(G[j]) for j in q.of(k)} for k in range(q.users)]
    return rows(q, each, lower=0)


def deadline(q: Model) -> Rows:
    """v <= E where there is a deadline."""
    limited = np.flatnonzero(np.isfinite(q.u.deadline))
    return rows(q, [{q.v(int(k)): 1.0} for k in limited], upper=q.u.deadline[limited])


def largest(q: Model) -> Rows:
    """h >= w v, where the objective knows the largest latency."""
    users = range(q.users if q.objective != "sum" else 0)
    return rows(q, [{q.h: 1.0, q.v(k): -float(q.u.weight[k])} for k in users], lower=0)


CONSTRAINTS: tuple[Callable[[Model], Rows], ...] = (
    one_option, budget, stage_time, share_limit, stage_limit, edge_branch, device_branch, deadline, largest,
)  # fmt: skip


def tangents(q: Model, slopes: list[tuple[int, int, float]]) -> Rows:
    """Rows of stage_time for (resource, user, slope)."""
    each = []
    for i, k, s in slopes:
        c = q.stages[i].support(np.full(q.users, s))
        share = {q.x(i, k): s} if s > 0 else {}
        each.append({q.t(i, k): 1.0} | share | {int(j): -float(c[j]) for j in q.of(k)})
    return rows(q, each, lower=0)


def program(q: Model, clock: Clock) -> Program:
    """All constraints as a linear program in HiGHS."""
    cost = np.zeros(q.columns)
    if q.objective != "max":
        cost[q.v(0) : q.h] = q.u.weight / q.users
    if q.objective != "sum":
        cost[q.h] = 1.0 if q.objective == "max" else q.u.max_weight / q.users
    whole = np.arange(q.columns) < q.pairs
    made = Program(cost, np.zeros(q.columns), np.where(whole, 1.0, np.inf), whole, clock)
    for constraint in CONSTRAINTS:
        made.add(constraint(q))
    return made


def violated(q: Model, point: Array) -> list[tuple[int, int, float]]:
    """The slope of the highest tangent at a point, for each stage whose hull the point is outside of."""
    n, found = point[: q.pairs], []
    for i, stage in enumerate(q.stages):
        x, t = point[q.x(i, 0) : q.x(i, 0) + q.users], point[q.t(i, 0) : q.t(i, 0) + q.users]
        slope = stage.steepest(n, x)
        low = stage.total(n * stage.support(np.maximum(slope, 0.0))) - slope * x
        found += [(i, int(k), float(slope[k])) for k in np.flatnonzero((slope >= 0) & (low > t + _VIOLATED * (1 + t)))]
    return found


class Search:
    """The rounds: the linear program, the options that were tried, and the best of them."""

    def __init__(self, problem: AllocationProblem, mask: NDArray[np.bool_], clock: Clock) -> None:
        self.problem = problem
        self.q = make_model(problem, mask)
        self.program = program(self.q, clock)
        self.unit_s = self.q.u.objective_unit_s * (1 if problem.objective == "max" else problem.users)
        self.objective_s, self.bound_s = np.inf, 0.0
        self.best: RawSolution | None = None
        self.tried: set[bytes] = set()
        self.rounds = 0

    def closed(self, gap: float) -> bool:
        """Whether incumbent and bound are within the gap."""
        return bool(np.isfinite(self.objective_s)) and self.objective_s - self.bound_s <= gap * self.objective_s

    def offer(self, n: Array) -> bool:
        """Try the options with the largest parts n (J,), and add what is learnt; False where they were tried before."""
        q = self.q
        chosen = np.array([q.of(k)[n[q.of(k)].argmax()] for k in range(q.users)])
        option = q.option[chosen]
        if option.tobytes() in self.tried:
            return False
        self.tried.add(option.tobytes())
        found = _shares.best(self.problem, option)
        if found is None:
            self.program.add(rows(q, [dict.fromkeys(map(int, chosen), 1.0)], upper=q.users - 1))
            return True
        objective_s, raw = found
        x = _shares.parts(self.problem, raw) * q.users
        at = [(i, k, float(s.slope(x[i][s.user])[j])) for i, s in enumerate(q.stages) for k, j in enumerate(chosen)]
        self.program.add(tangents(q, [(i, k, slope) for i, k, slope in at if slope > 0]))
        if objective_s < self.objective_s:
            self.objective_s, self.best = objective_s, raw
            self.program.start_at(self._point(chosen, x))
        return True

    def _point(self, chosen: NDArray[np.int64], x: Array) -> Array:
        q = self.q
        point = np.zeros(q.columns)
        point[chosen] = 1.0
        t = np.stack([time_and_slopes(x[i], s.a[chosen], s.gamma[chosen])[0] for i, s in enumerate(q.stages)])
        fixed, floor = (table[q.user[chosen], q.option[chosen]] for table in (q.u.fixed, q.u.floor))
        v = np.maximum(floor, fixed + t.sum(axis=0))
        point[q.pairs :] = np.concatenate(
            [x.ravel(), t.ravel(), v, [0.0 if q.objective == "sum" else (q.u.weight * v).max()]]
        )
        return point

    def run(self, gap: float) -> str:
        """Rounds until the gap is closed or the time is over; says how they ended."""
        if not self._relaxed(gap):
            return "out of time"
        for _ in range(_ROUNDS):
            answer = self._round(relaxed=False, rel_gap=gap / 4)
            if self.closed(gap):
                return "closed"
            if answer.v is None:
                return "out of time"
            learnt = violated(self.q, answer.v)
            self.program.add(tangents(self.q, learnt))
            if not self.offer(answer.v[: self.q.pairs]) and not learnt:
                return "at HiGHS' tolerance"
            if self.closed(gap):
                return "closed"
        return "out of rounds"

    def _relaxed(self, gap: float) -> bool:
        """Rounds with continuous n, whose options are tried as well; False where the time is over."""
        bounds_s = [0.0] * _FLAT_ROUNDS
        for _ in range(_RELAXED_ROUNDS):
            answer = self._round(relaxed=True, rel_gap=gap)
            if answer.v is None or answer.status != "optimal":
                return False
            learnt = violated(self.q, answer.v)
            self.program.add(tangents(self.q, learnt))
            self.offer(answer.v[: self.q.pairs])
            bounds_s.append(self.bound_s)
            if not learnt or bounds_s[-1] - bounds_s[-1 - _FLAT_ROUNDS] <= _FLAT * bounds_s[-1]:
                break
        return True

    def _round(self, *, relaxed: bool, rel_gap: float) -> Answer:
        """One linear program, and the bound that it proves."""
        answer = self.program.run(relaxed=relaxed, rel_gap=rel_gap)
        if answer.status == "infeasible":
            if np.isfinite(self.objective_s):
                raise SolverFailure("HiGHS calls a program infeasible that has a solution")
            raise not_together()
        self.rounds += np.isfinite(answer.bound)
        self.bound_s = max(self.bound_s, (answer.bound - DOUBT * (1 + abs(answer.bound))) * self.unit_s)
        return answer


def solve(problem: AllocationProblem, *, gap: float, time_limit_s: float | None) -> RawSolution:
    """Optimal options and shares.

    Parameters
    ----------
    problem : AllocationProblem
    gap : float
        Asked relative gap [1].
    time_limit_s : float or None
        Limit on all rounds [s]; the best solution by then is returned.

    Raises
    ------
    InvalidInput
        For the objective "missed".
    Infeasible
        Where the limits cannot be kept.
    SolverFailure
        Where HiGHS fails, or no solution is found in time.
    """
    begin = time.perf_counter()
    require(problem, "option_gdp_outer")
    search = Search(problem, workable_options(problem), Clock(time_limit_s))
    built = time.perf_counter()
    ended = search.run(gap)
    if search.best is None:
        raise SolverFailure(f"no solution was found in {search.rounds} rounds: {ended}")
    return replace(
        search.best, bound=search.bound_s, build_s=built - begin, solve_s=time.perf_counter() - built,
        message=f"HiGHS: {ended} after {search.rounds} rounds, {len(search.tried)} sets of options tried",
    )  # fmt: skip
