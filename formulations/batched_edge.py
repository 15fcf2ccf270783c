"""How many steps the edge makes for each user, and in which batches, when a step of X chains takes a X + b.

Class: MILP on HiGHS, an outer approximation made finer until the gap is proven. Linear and Shannon rates. Some best
schedule pauses no chain (`bounds.contiguous_batches`), so that a chain is its first batch and its number of steps.

Sets
    i, j users; n numbers of steps, 0 to N
Parameters (times over a unit U of latency)
    a, b slope and intercept of a step; S start of the edge; tU_i step of the device; R_i what follows; w_i weight
    R0_i what follows for a user without edge steps; H_i what a device does before it makes the rest of the steps
    q_in quality of n steps, D_i deadline; T_i(x) seconds of the download on the part x of the band; P_i batches that
    i can be through with when the best answer known so far is kept
Variables
    e_i binary, i has steps at the edge;  n_i integer, steps;  y_in binary, n_i = n (for qualities and gaps in A_i)
    f_i binary, the edge makes all steps of i (where H_i > 0)
    s_i integer, batches before the first of i;  o_ij chain-steps of j by the end of i;  z_ij binary, all of them
    C_i end of the last batch;  x_i share;  t_i download;  h largest weighted latency
Objective
    sum: Σ w L;  max: h;  quality: -Σ w q y,
    with L_i = C_i + (N - n_i) tU_i + R0_i + (R_i - R0_i) e_i + H_i (e_i - f_i) + t_i
Constraints (model: `BatchedEdgeProblem`)
    served        e_i <= n_i <= N e_i,  s_i + n_i <= P_i e_i       a user without steps is in no batch
    steps         n_i = Σ n y_in,  Σ y_in = 1                      cuts that are allowed
    whole         N f_i <= n_i
    all_before    o_ij >= n_j - N (1 - z_ij)                       all steps of j count at the end of i, or
    some_before   o_ij >= s_i + n_i - s_j - P_i z_ij               those that fit between its first and that end
    either        z_ij + z_ji >= 1,  o_ij + o_ji >= n_i + n_j - N  of two, one has ended when the other ends
    end           C_i >= S e_i + a (n_i + Σ_j o_ij) + b (s_i + n_i)
    band          Σ x <= 1,  x_i <= e_i                            sum b <= B
    download      t_i >= T(x0) e_i + T'(x0) (x_i - x0 e_i)         tangents of the perspective of T, which is convex
    largest       h >= w_i L_i                                     epigraph of max_i w_i L_i
    deadline      C_i + R_i e_i + t_i <= D_i                       of users with steps
The answer is the best schedule found, with the best shares for it in closed form, evaluated by the problem; the bound
is HiGHS' own. Its tolerance on whole numbers is 1e-7, and it runs without presolve and restarts: with a smaller
tolerance, or with them, HiGHS 1.16 loses optima of such programs and says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from megdt_opt.errors import Conflict, Infeasible, InvalidInput, SolverFailure
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem, Batches
from megdt_opt.problem.batched_schedule import batches_of, ends_s, own_s
from megdt_opt.problem.evaluation import Evaluation
from megdt_opt.radio.rates import time_and_slopes
from megdt_opt.shares.batched_band import demand_s, least_level, needed
from megdt_opt.shares.closed_forms import square_root
from megdt_opt.solving.highs import Clock, Program, Rows, at_least, at_most

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDS = 60
"""Programs that are made finer, at most."""

_LEAST_GAP = 1e-8
"""A smaller one is not asked of HiGHS."""

_WHOLE = 1e-7
"""HiGHS' tolerance on whole numbers."""

_SETTINGS: dict[str, float | str | bool] = {"presolve": "off", "mip_allow_restart": False}
"""Options of HiGHS: with its presolve, or its restarts, version 1.16 calls wrong points of such programs optimal."""

_POINTS = 8
"""Tangents to the download's time at first."""

_OVER = 1e-9
"""Share of the band beyond it that counts as rounding [1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawBatches:
    """What the formulation found.

    Parameters
    ----------
    cut : array of int, (K,)
    batches : tuple of tuple of int
    downlink_hz : array, (K,)
        [Hz]
    bound : float
        Bound of the objective that HiGHS claims: a lower one [s], for "quality" an upper one [1].
    build_s, solve_s : float
        Seconds [s].
    message : str
    """

    cut: Ints
    batches: Batches
    downlink_hz: Array
    bound: float
    build_s: float
    solve_s: float
    message: str = ""


class Model:
    """Sets and numbers of the header.

    Parameters
    ----------
    problem : BatchedEdgeProblem
    """

    def __init__(self, problem: BatchedEdgeProblem) -> None:
        self.problem, self.K, self.N = problem, problem.users, problem.steps
        self.scored = problem.objective == "quality"
        self.a, self.gamma = demand_s(problem)
        mask = problem.open_cuts
        n = np.arange(self.N + 1)
        self.low = np.where(mask, n, self.N).min(axis=1)
        self.high = np.where(mask, n, 0).max(axis=1)
        whole = np.array([mask[k, self.low[k] : self.high[k] + 1].all() for k in range(self.K)])
        listed = np.ones(self.K, dtype=bool) if self.scored else ~whole
        self.y = np.argwhere(mask & listed[:, None])
        pairs = [(i, j) for i in range(self.K) for j in range(self.K) if i != j]
        self.pair = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        self.first = self._simple()
        self.unit = self._unit()
        sizes = {
            "e": self.K, "n": self.K, "s": self.K, "y": len(self.y), "z": len(self.pair), "f": self.K,
            "o": len(self.pair), "C": self.K, "x": self.K, "t": self.K, "h": 1,
        }  # fmt: skip
        ends = np.cumsum(list(sizes.values())).tolist()
        self.at: dict[str, int] = dict(zip([*sizes, "end"], [0, *ends], strict=True))
        self.P = self._horizon()

    def _simple(self) -> tuple[float, SimpleNamespace] | None:
        """The better of serving nobody more than it must be, and everybody at once."""
        tried = [
            seen
            for cut in (self.low, self.high)
            if (seen := settled(self, np.zeros(self.K, np.int64), cut)) is not None
        ]
        return min(tried, key=lambda one: one[0]) if tried else None

    def _unit(self) -> float:
        p = self.problem
        if self.scored or self.first is None or self.first[0] == 0:
            return p.start_s + self.N * (p.step_slope_s + p.step_base_s)
        return self.first[0]

    def _horizon(self) -> Array:
        """Batches by which each user has ended, (K,)."""
        p = self.problem
        most = np.full(self.K, float(self.high.sum()))
        alone = time_and_slopes(np.ones(self.K), self.a, self.gamma)[0] + p.rest_s
        latest = p.hard_deadline_s
        if not self.scored and self.first is not None:
            latest = self.first[0] / p.weights
        room = (latest - alone - p.start_s) / (p.step_slope_s + p.step_base_s)
        with np.errstate(invalid="ignore"):
            fit = np.floor(room * (1 + 1e-9) + 1e-9)
        return np.asarray(np.maximum(np.where(np.isfinite(fit), np.minimum(most, fit), most), self.low))


Entries = list[tuple[Any, Any, Any]]


def whole(m: Model) -> Rows:
    """N f_i <= n_i."""
    k = np.arange(m.K)
    return at_most(_rows(m, [(k, m.at["f"] + k, float(m.N)), (k, m.at["n"] + k, -1.0)], m.K), 0.0)


def _rows(m: Model, entries: Entries, count: int) -> csr_array:
    """A sparse matrix with `count` rows from (rows, columns, values)."""
    parts = [np.broadcast_arrays(*(np.atleast_1d(one) for one in entry)) for entry in entries]
    row, column, value = (np.concatenate([part[n] for part in parts]) for n in range(3))
    return csr_array(coo_array((value.astype(np.float64), (row, column)), shape=(count, m.at["end"])))


def served(m: Model) -> Rows:
    """e_i <= n_i <= N e_i and s_i + n_i <= P_i e_i."""
    k, at = np.arange(m.K), m.at
    entries: Entries = [
        (k, at["e"] + k, 1.0), (k, at["n"] + k, -1.0),
        (m.K + k, at["n"] + k, 1.0), (m.K + k, at["e"] + k, -float(m.N)),
        (2 * m.K + k, at["s"] + k, 1.0), (2 * m.K + k, at["n"] + k, 1.0), (2 * m.K + k, at["e"] + k, -m.P),
    ]  # fmt: skip
    return at_most(_rows(m, entries, 3 * m.K), 0.0)


def steps(m: Model) -> Rows:
    """n_i = Σ n y_in and Σ y_in = 1."""
    users = np.unique(m.y[:, 0])
    row = np.searchsorted(users, m.y[:, 0])
    column, u = m.at["y"] + np.arange(len(m.y)), np.arange(len(users))
    entries: Entries = [
        (row, column, m.y[:, 1]), (u, m.at["n"] + users, -1.0), (len(users) + row, column, 1.0),
    ]  # fmt: skip
    right = np.r_[np.zeros(len(users)), np.ones(len(users))]
    return Rows(matrix=_rows(m, entries, 2 * len(users)), lower=right, upper=right)


def all_before(m: Model) -> Rows:
    """o_ij >= n_j - N (1 - z_ij)."""
    p = np.arange(len(m.pair))
    entries: Entries = [(p, m.at["o"] + p, 1.0), (p, m.at["n"] + m.pair[:, 1], -1.0), (p, m.at["z"] + p, -float(m.N))]
    return at_least(_rows(m, entries, len(p)), -float(m.N))


def some_before(m: Model) -> Rows:
    """o_ij >= s_i + n_i - s_j - P_i z_ij."""
    p, (i, j) = np.arange(len(m.pair)), m.pair.T
    entries: Entries = [
        (p, m.at["o"] + p, 1.0), (p, m.at["s"] + i, -1.0), (p, m.at["n"] + i, -1.0), (p, m.at["s"] + j, 1.0),
        (p, m.at["z"] + p, m.P[i]),
    ]  # fmt: skip
    return at_least(_rows(m, entries, len(p)), 0.0)


def either(m: Model) -> Rows:
    """z_ij + z_ji >= 1 and o_ij + o_ji >= n_i + n_j - N."""
    i, j = m.pair.T
    one = np.flatnonzero(i < j)
    place = {tuple(pair): n for n, pair in enumerate(m.pair.tolist())}
    other = np.array([place[b, a] for a, b in m.pair[one].tolist()], dtype=np.int64)
    r, count = np.arange(len(one)), len(one)
    entries: Entries = [
        (r, m.at["z"] + one, 1.0), (r, m.at["z"] + other, 1.0),
        (count + r, m.at["o"] + one, 1.0), (count + r, m.at["o"] + other, 1.0),
        (count + r, m.at["n"] + i[one], -1.0), (count + r, m.at["n"] + j[one], -1.0),
    ]  # fmt: skip
    return at_least(_rows(m, entries, 2 * count), np.r_[np.ones(count), np.full(count, -float(m.N))])


def end(m: Model) -> Rows:
    """C_i >= S e_i + a (n_i + Σ_j o_ij) + b (s_i + n_i)."""
    k, p = np.arange(m.K), m.problem
    slope, base = p.step_slope_s / m.unit, p.step_base_s / m.unit
    entries: Entries = [
        (k, m.at["C"] + k, 1.0), (k, m.at["e"] + k, -p.start_s / m.unit), (k, m.at["n"] + k, -(slope + base)),
        (k, m.at["s"] + k, -base), (m.pair[:, 0], m.at["o"] + np.arange(len(m.pair)), -slope),
    ]  # fmt: skip
    return at_least(_rows(m, entries, m.K), 0.0)


def band(m: Model) -> Rows:
    """Σ x <= 1 and x_i <= e_i."""
    k = np.arange(m.K)
    entries: Entries = [(0 * k, m.at["x"] + k, 1.0), (1 + k, m.at["x"] + k, 1.0), (1 + k, m.at["e"] + k, -1.0)]
    return at_most(_rows(m, entries, 1 + m.K), np.r_[1.0, np.zeros(m.K)])


def download(m: Model, k: Ints, point: Array) -> Rows:
    """t_i >= T(x0) e_i + T'(x0) (x_i - x0 e_i), divided by the largest coefficient."""
    t, slope, _ = time_and_slopes(point, m.a[k], m.gamma[k])
    t, slope = t / m.unit, slope / m.unit
    size = np.maximum(np.maximum(t - slope * point, -slope), 1.0)
    r = np.arange(len(k))
    entries: Entries = [
        (r, m.at["t"] + k, 1.0 / size), (r, m.at["e"] + k, (slope * point - t) / size),
        (r, m.at["x"] + k, -slope / size),
    ]  # fmt: skip
    return at_least(_rows(m, entries, len(k)), 0.0)


def _latency(m: Model, scale: Array) -> Entries:
    """Entries of scale_i (C_i - n_i tU_i + (R_i - R0_i) e_i + H_i (e_i - f_i) + t_i), a row a user."""
    k, p = np.arange(m.K), m.problem
    return [
        (k, m.at["e"] + k, scale * (p.rest_s - p.local_rest_s + p.handed_s) / m.unit),
        (k, m.at["f"] + k, -scale * p.handed_s / m.unit),
        (k, m.at["C"] + k, scale), (k, m.at["n"] + k, -scale * m.problem.steps_s / m.unit), (k, m.at["t"] + k, scale),
    ]  # fmt: skip


def largest(m: Model) -> Rows:
    """h >= w_i L_i."""
    p, k = m.problem, np.arange(m.K)
    fixed = p.weights * (m.N * p.steps_s + p.local_rest_s) / m.unit
    return at_least(_rows(m, [(k, np.full(m.K, m.at["h"]), 1.0), *_latency(m, -p.weights)], m.K), fixed)


def deadline(m: Model) -> Rows:
    """C_i + R_i e_i + t_i <= D_i."""
    p, k = m.problem, np.flatnonzero(np.isfinite(m.problem.hard_deadline_s))
    r = np.arange(len(k))
    entries: Entries = [
        (r, m.at["C"] + k, 1.0), (r, m.at["t"] + k, 1.0), (r, m.at["e"] + k, p.rest_s[k] / m.unit),
    ]  # fmt: skip
    return at_most(_rows(m, entries, len(k)), p.hard_deadline_s[k] / m.unit)


def program(m: Model, clock: Clock) -> Program:
    """Columns and rows, with the first tangents."""
    at, p = m.at, m.problem
    cost, lower, upper = np.zeros(at["end"]), np.zeros(at["end"]), np.full(at["end"], np.inf)
    upper[at["e"] : at["n"]] = m.high > 0
    lower[at["e"] : at["n"]] = m.low > 0
    lower[at["n"] : at["s"]], upper[at["n"] : at["s"]] = m.low, m.high
    upper[at["s"] : at["y"]] = np.maximum(m.P - 1, 0)
    upper[at["y"] : at["o"]] = 1.0
    upper[at["f"] : at["o"]] = p.handed_s > 0
    upper[at["o"] : at["C"]] = float(m.N)
    upper[at["x"] : at["t"]] = m.a > 0
    if m.scored:
        assert p.quality is not None
        k, n = m.y.T
        cost[at["y"] : at["z"]] = -p.weights[k] * p.quality[k, n]
    elif p.objective == "sum":
        cost[at["C"] : at["x"]] = p.weights
        cost[at["t"] : at["h"]] = p.weights
        cost[at["n"] : at["s"]] = -p.weights * p.steps_s / m.unit
        cost[at["e"] : at["n"]] = p.weights * (p.rest_s - p.local_rest_s + p.handed_s) / m.unit
        cost[at["f"] : at["o"]] = -p.weights * p.handed_s / m.unit
    else:
        cost[at["h"]] = 1.0
    milp = Program(cost, lower, upper, np.arange(at["end"]) < at["o"], clock, _WHOLE, _SETTINGS)
    rows = [served(m), steps(m), whole(m), all_before(m), some_before(m), either(m), end(m), band(m)]
    rows += [deadline(m)] if m.scored else [largest(m)] if p.objective == "max" else []
    sent = np.flatnonzero(m.a > 0)
    rows += [download(m, sent, np.full(len(sent), 0.5**n)) for n in range(_POINTS)]
    for one in rows:
        milp.add(one)
    return milp


def settled(m: Model, first: Ints, cut: Ints, x: Array | None = None) -> tuple[float, SimpleNamespace] | None:
    """Objective, to be minimised, of chains (K,) with their best shares, and what was decided; None where it cannot be.

    `x` are shares to take where no closed form gives the best.
    """
    p = m.problem
    at = cut > 0
    a = np.where(at, m.a, 0.0)
    fixed = ends_s(p, first, cut) + own_s(p, cut)
    if m.scored:
        x = needed(a, m.gamma, np.where(at, p.hard_deadline_s - fixed, np.inf))
        if not x.sum() <= 1 + _OVER:
            return None
        x = np.where(a > 0, x + np.maximum(1.0 - x.sum(), 0.0) / max(int((a > 0).sum()), 1), 0.0)
    elif p.objective == "max":
        _, x = least_level(a, m.gamma, fixed, p.weights)
    elif p.linear:
        x, _ = square_root(np.sqrt(p.weights * a), np.ones(m.K))
    else:
        x = np.where(a > 0, np.maximum(0.0 if x is None else x, 1e-9), 0.0)
    share = x / max(float(x.sum()), 1e-300) * p.downlink_hz * (a > 0) if (a > 0).any() else np.zeros(m.K)
    decided = SimpleNamespace(cut=cut, batches=batches_of(first, cut), downlink_hz=share)
    seen = p.evaluate(decided)
    if not seen.violation <= _OVER:
        return None
    return (seen.objective_s if isinstance(seen, Evaluation) else -seen.objective), decided


def solve(problem: BatchedEdgeProblem, *, gap: float, time_limit_s: float | None) -> RawBatches:
    """Optimal cuts, batches and shares of a few users.

    Parameters
    ----------
    problem : BatchedEdgeProblem
    gap : float
        Asked relative gap [1]; at least 1e-8 is left open.
    time_limit_s : float or None
        Limit [s]; the best answer and the bound by then are returned.

    Raises
    ------
    InvalidInput
        For another class of problem.
    Infeasible
        Where the deadlines of users who must have steps cannot be kept together.
    SolverFailure
        Where HiGHS fails, or finds no point in time.
    """
    if not isinstance(problem, BatchedEdgeProblem):
        raise InvalidInput("problem", type(problem).__name__, "a BatchedEdgeProblem", "Build one of them first.")
    clock = Clock(time_limit_s)
    m = Model(problem)
    milp = program(m, clock)
    build_s, gap = clock.spent_s, max(gap, _LEAST_GAP)
    best, found = m.first or (np.inf, None)
    scale = 1.0 if m.scored else m.unit
    fixed = 0.0
    if problem.objective == "sum":
        fixed = float((problem.weights * (m.N * problem.steps_s + problem.local_rest_s)).sum())
    bound, rounds = -np.inf, 0
    while rounds < _ROUNDS:
        rounds += 1
        answer = milp.run(rel_gap=0.3 * gap, abs_gap=0.3 * gap * (abs(best) / scale if np.isfinite(best) else 0.0))
        if answer.status == "infeasible":
            if found is None:
                raise together(problem)
            break
        bound = max(bound, answer.bound * scale + fixed)
        if answer.v is None:
            break
        v = answer.v
        cut, first = (np.rint(v[m.at[name] : m.at[name] + m.K]).astype(np.int64) for name in ("n", "s"))
        x = v[m.at["x"] : m.at["t"]]
        seen = settled(m, first, cut, x)
        if seen is not None and seen[0] < best:
            best, found = seen
        if best - bound <= gap * abs(best) or clock.left_s <= 0:
            break
        k = np.flatnonzero((cut > 0) & (m.a > 0))
        points = [np.clip(x[k], 1e-6, 1.0)]
        if seen is not None:
            points.append(np.clip(seen[1].downlink_hz[k] / problem.downlink_hz, 1e-6, 1.0))
        for point in points:
            milp.add(download(m, k, point))
    if found is None:
        raise SolverFailure("HiGHS found no point in time; raise time_limit_s or leave it out")
    bound = min(bound, best)
    return RawBatches(
        cut=found.cut, batches=found.batches, downlink_hz=found.downlink_hz, bound=-bound if m.scored else bound,
        build_s=build_s, solve_s=clock.spent_s - build_s, message=f"{rounds} programs",
    )  # fmt: skip


def together(problem: BatchedEdgeProblem) -> Infeasible:
    """The error where users who must have steps cannot all keep their deadlines."""
    must = np.flatnonzero(~problem.open_cuts[:, 0])
    return Infeasible(
        "the deadlines of users who must be served cannot be kept together",
        [Conflict(int(k), "deadline", float(problem.hard_deadline_s[k]), "s") for k in must],
        hint="Raise the deadlines, widen the band, or allow cut 0.",
    )  # fmt: skip
