"""Whom each edge server serves, with which option, and which models it holds.

Class: MILP on HiGHS, an outer approximation made finer until the gap is proven. Exact, linear and Shannon rates.

Sets
    k users; e servers; m models; j the pairs (user, open option), k(j), e(j) and m(j) their user, server and model
    b = (i, e) the budgets of i in {downlink, uplink, edge}; g the stages (j, i) with a demand, b(g) their budgets
Parameters (dimensionless: shares in budgets, times over a unit U of latency)
    F_j fixed latency;  G_j fixed latency + device branch;  w_k weight;  S_m model size, R_e memory (over the largest)
    T_g(x) seconds of a stage on the share x: a/x, or a/(x ln(1 + g/x));  H_g largest share: 1 or the cap
    D_k deadline;  A_j longest time of sending
    t points of tangents; p_g = sqrt(w a), P_b = Σ_{g of b} p_g y_j(g) in the root form
Variables
    y_j binary, option taken;  u_em binary, model held;  x_g share;  t_g seconds;  v_j latency if taken, else 0
    h largest weighted latency;  z_b = P_b^2 from below, in the root form
Objective
    sum: Σ w v;  max: h;  root form: Σ_j w F y + Σ_b z
Constraints (model: `PlacementProblem`)
    one_option    Σ_{j of k} y = 1                       one option per user
    held          y_j <= u_{e(j) m}, m needed by j       a server runs the models that it holds
    memory        Σ_m S u_em <= R_e                      the models that a server holds fit its memory
    budget        Σ_{g of b} x <= 1                      sum b <= B, sum f <= F at each server
    share_limit   x_g <= H_g y_j                         f <= edge_share_max; no share of what is not taken
    stage_time    t_g >= T(x0) y_j + T'(x0) (x_g - x0 y_j)   tangents of the perspective of T, which is convex
    latency       v_j >= F y_j + Σ_g t_g,  v_j >= G y_j  L >= fixed + max(device branch, edge branch)
    largest       h >= w_k Σ_{j of k} v_j                epigraph of max_k w_k L_k
    deadline      v_j <= D_k y_j                         L <= deadline_s
    airtime       t_g <= A_j y_j                         seconds of sending <= uplink_airtime_max_s
    root          z_b >= 2 p Σ p_g y_j - p^2             tangents of the square
"sum" with linear rates, without caps, device branches and limits takes the root form: for given options the best shares
yield Σ w F + Σ_b P_b^2 (Cauchy and Schwarz), so that shares, times and latencies are not needed. All other problems
take the form with shares. The answer is the best point found, evaluated by the problem; the bound is HiGHS' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.formulations._refining import refined
from megdt_opt.problem.checks import NO_AIRTIME_LIMIT_S
from megdt_opt.problem.conflicts import limits_not_kept, models_too_large
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem
from megdt_opt.radio.rates import time_and_slopes
from megdt_opt.solving.highs import Clock, Program, Rows, at_least, at_most

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDS = 60
"""Programs that are made finer, at most."""

_POINTS, _ROOTS = 6, 24
"""Tangents to a stage's time and to a square at first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawPlacement:
    """What the formulation found.

    Parameters
    ----------
    option : array of int, (K,)
    placed : array of bool, (E, M), or None
    downlink_hz, uplink_hz, edge_share : array, (K,)
        Shares at the server of the option [Hz, Hz, 1].
    bound : float
        Lower bound of the objective that HiGHS claims [s].
    build_s, solve_s : float
        Seconds [s].
    message : str
    """

    option: Ints
    placed: NDArray[np.bool_] | None
    downlink_hz: Array
    uplink_hz: Array
    edge_share: Array
    bound: float
    build_s: float
    solve_s: float
    message: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Sets and numbers of the header; `at` is the first column of each group of variables."""

    problem: PlacementProblem
    user: Ints
    option: Ints
    server: Ints
    F: Array
    G: Array
    pair: Ints  # of each stage g
    budget: Ints  # of each stage g
    a: Array
    gamma: Array
    H: Array
    unit: float
    roots: bool

    @property
    def at(self) -> dict[str, int]:
        """First columns of y, u, x, t, v, h and z, and their number."""
        stages = 0 if self.roots else self.a.size
        pairs = 0 if self.roots else self.user.size
        sizes = {
            "y": self.user.size, "u": self.problem.servers * self.problem.models, "x": stages, "t": stages, "v": pairs,
            "h": 1, "z": 3 * self.problem.servers if self.roots else 0,
        }  # fmt: skip
        ends = np.cumsum(list(sizes.values())).tolist()
        return dict(zip([*sizes, "end"], [0, *ends], strict=True))

    @property
    def w(self) -> Array:
        """Weight of each pair's user, (J,)."""
        return np.asarray(self.problem.weights[self.user])


def make_model(problem: PlacementProblem) -> Model:
    """Numbers of the open options."""
    user, option = np.nonzero(problem.open_options)
    server = problem.option_server[user, option]
    fixed, branch = problem.fixed_s[user, option], problem.branch_s[user, option]
    stages: list[tuple[Ints, Ints, Array, Array, Array]] = []
    for i, name in enumerate(("downlink_bit", "uplink_bit", "edge_work_s")):
        amount = getattr(problem, name)[user, option]
        j = np.flatnonzero((amount > 0) & (server != NO_SERVER))
        k, e = user[j], server[j]
        a, gamma, top = amount[j] / problem.budgets[i, e], np.full(j.size, np.inf), np.ones(j.size)
        if i < 2:
            side = ("downlink", "uplink")[i]
            law = problem.law(side)[k, e]
            if getattr(problem, f"{side}_snr_hz") is None:
                a = a / law
            else:
                a, gamma = a * np.log(2.0), law / problem.budgets[i, e]
        else:
            top = np.minimum(problem.share_caps[k] / problem.capacities[e], 1.0)
        stages.append((j, i * problem.servers + e, a, gamma, top))
    pair, budgets, a, gamma, top = (np.concatenate(parts) for parts in zip(*stages, strict=True))
    alone = fixed + branch
    np.add.at(alone, pair, time_and_slopes(top / problem.users, a, gamma)[0])
    least = np.full(problem.users, np.inf)
    np.minimum.at(least, user, problem.weights[user] * alone)
    unit = float(least.max() if problem.objective == "max" else least.sum()) or 1.0
    plain = problem.linear and bool((top == 1).all()) and not branch.any() and not problem.limited
    roots = problem.objective == "sum" and plain
    return Model(
        problem=problem, user=user, option=option, server=server, F=fixed / unit, G=(fixed + branch) / unit, pair=pair,
        budget=budgets, a=a / unit, gamma=gamma, H=top, unit=unit, roots=roots,
    )  # fmt: skip


def _rows(
    m: Model, entries: list[tuple[NDArray[np.intp] | Ints, NDArray[np.intp] | Ints, Array]], count: int
) -> csr_array:
    """A sparse matrix with `count` rows from (rows, columns, values)."""
    row, column, value = (np.concatenate([np.atleast_1d(one[n]) for one in entries]) for n in range(3))
    return csr_array(coo_array((value, (row, column)), shape=(count, m.at["end"])))


def one_option(m: Model) -> Rows:
    """Σ_{j of k} y = 1."""
    one = np.ones(m.problem.users)
    matrix = _rows(m, [(m.user, np.arange(m.user.size), np.ones(m.user.size))], m.problem.users)
    return Rows(matrix=matrix, lower=one, upper=one)


def held(m: Model) -> Rows:
    """y_j <= u_{e(j) m}, for every model m that j needs."""
    j, model = np.nonzero(m.problem.needs(m.user, m.option))
    row, one = np.arange(j.size), np.ones(j.size)
    place = m.at["u"] + m.server[j] * m.problem.models + model
    return at_most(_rows(m, [(row, j, one), (row, place, -one)], j.size), 0.0)


def memory(m: Model) -> Rows:
    """Σ_m S u_em <= R_e."""
    p = m.problem
    if p.model_byte is None or p.memory_byte is None:
        return at_most(np.zeros((0, m.at["end"])), 0.0)
    largest = float(p.memory_byte.max()) or 1.0
    row = np.repeat(np.arange(p.servers), p.models)
    matrix = _rows(m, [(row, m.at["u"] + np.arange(row.size), np.tile(p.model_byte / largest, p.servers))], p.servers)
    return at_most(matrix, p.memory_byte / largest)


def budget(m: Model) -> Rows:
    """Σ_{g of b} x <= 1."""
    count = 3 * m.problem.servers
    return at_most(_rows(m, [(m.budget, m.at["x"] + np.arange(m.a.size), np.ones(m.a.size))], count), 1.0)


def share_limit(m: Model) -> Rows:
    """x_g <= H_g y_j."""
    g = np.arange(m.a.size)
    return at_most(_rows(m, [(g, m.at["x"] + g, np.ones(g.size)), (g, m.pair, -m.H)], g.size), 0.0)


def stage_time(m: Model, g: Ints, point: Array) -> Rows:
    """t_g >= T(x0) y_j + T'(x0) (x_g - x0 y_j), divided by the largest coefficient."""
    t, slope, _ = time_and_slopes(point, m.a[g], m.gamma[g])
    size = np.maximum(t - slope * point, -slope)
    size = np.maximum(size, 1.0)
    row = np.arange(g.size)
    entries = [
        (row, m.at["t"] + g, 1.0 / size),
        (row, m.pair[g], (slope * point - t) / size),
        (row, m.at["x"] + g, -slope / size),
    ]
    return at_least(_rows(m, entries, g.size), 0.0)


def latency(m: Model) -> Rows:
    """v_j >= F y_j + Σ_g t_g and v_j >= G y_j."""
    j, one = np.arange(m.user.size), np.ones(m.user.size)
    entries = [
        (j, m.at["v"] + j, one), (j, j, -m.F), (m.pair, m.at["t"] + np.arange(m.a.size), -np.ones(m.a.size)),
        (j.size + j, m.at["v"] + j, one), (j.size + j, j, -m.G),
    ]  # fmt: skip
    return at_least(_rows(m, entries, 2 * j.size), 0.0)


def deadline(m: Model) -> Rows:
    """v_j <= D_k y_j."""
    j = np.flatnonzero(np.isfinite(m.problem.hard_deadline_s)[m.user])
    row, most = np.arange(j.size), m.problem.hard_deadline_s[m.user[j]] / m.unit
    return at_most(_rows(m, [(row, m.at["v"] + j, np.ones(j.size)), (row, j, -most)], j.size), 0.0)


def airtime(m: Model) -> Rows:
    """t_g <= A_j y_j."""
    limits = m.problem.uplink_airtime_max_s
    most = np.full(m.user.size, np.inf) if limits is None else limits[m.user, m.option] / m.unit
    sends = m.budget // m.problem.servers == 1
    g = np.flatnonzero(sends & (most < NO_AIRTIME_LIMIT_S / m.unit)[m.pair])
    row = np.arange(g.size)
    entries = [(row, m.at["t"] + g, np.ones(g.size)), (row, m.pair[g], -most[m.pair[g]])]
    return at_most(_rows(m, entries, g.size), 0.0)


def largest(m: Model) -> Rows:
    """h >= w_k Σ_{j of k} v_j."""
    k = np.arange(m.problem.users)
    entries = [(k, np.full(k.size, m.at["h"]), np.ones(k.size)), (m.user, m.at["v"] + np.arange(m.user.size), -m.w)]
    return at_least(_rows(m, entries, k.size), 0.0)


def root(m: Model, b: Ints, point: Array) -> Rows:
    """z_b >= 2 p P_b - p^2."""
    row, stages = np.arange(b.size), [np.flatnonzero(m.budget == one) for one in b]
    each = np.repeat(row, [len(g) for g in stages])
    g = np.concatenate([*stages, np.zeros(0, np.int64)]).astype(np.int64)
    roots = np.sqrt(m.w[m.pair[g]] * m.a[g])
    entries = [(row, m.at["z"] + b, np.ones(b.size)), (each, m.pair[g], -2.0 * point[each] * roots)]
    return at_least(_rows(m, entries, b.size), -(point**2))


def program(m: Model, clock: Clock) -> Program:
    """Columns and rows, with the first tangents."""
    at, end = m.at, m.at["end"]
    cost, lower, upper = np.zeros(end), np.zeros(end), np.full(end, np.inf)
    upper[: at["x"]] = 1.0
    upper[at["x"] : at["t"]] = 0.0 if m.roots else m.H
    if m.roots:
        cost[: at["u"]], cost[at["z"] :] = m.w * m.F, 1.0
    elif m.problem.objective == "sum":
        cost[at["v"] : at["h"]] = m.w
    else:
        cost[at["h"]] = 1.0
    milp = Program(cost, lower, upper, np.arange(end) < at["x"], clock)
    for rows in (one_option(m), held(m), memory(m)):
        milp.add(rows)
    if m.roots:
        total = np.zeros(3 * m.problem.servers)
        np.maximum.at(total, m.budget, np.sqrt(m.w[m.pair] * m.a))
        most = np.sqrt(np.minimum(1.0, (total * m.problem.users) ** 2))  # a better point has Σ z <= 1
        b = np.flatnonzero(total)
        for part in np.linspace(0.0, 1.0, _ROOTS + 1)[1:]:
            milp.add(root(m, b, part * most[b]))
        return milp
    limits = (deadline(m), airtime(m)) if m.problem.limited else ()
    last = (largest(m),) if m.problem.objective == "max" else ()
    for rows in (budget(m), share_limit(m), latency(m), *limits, *last):
        milp.add(rows)
    for n in range(_POINTS):
        milp.add(stage_time(m, np.arange(m.a.size), m.H / 2.0**n))
    return milp


def _read(m: Model, v: Array) -> tuple[Ints, NDArray[np.bool_] | None, Array, Ints]:
    """Options, models held, shares of the budgets (3, K), and the stages that were taken."""
    p = m.problem
    order = np.argsort(v[: m.user.size], kind="stable")
    option = np.zeros(p.users, dtype=np.int64)
    option[m.user[order]] = m.option[order]
    taken = (m.option == option[m.user])[m.pair]
    g = np.flatnonzero(taken)
    wanted = np.sqrt(m.w[m.pair[g]] * m.a[g]) if m.roots else np.maximum(v[m.at["x"] + g], 1e-9 * m.H[g])
    total = np.bincount(m.budget[g], weights=wanted, minlength=3 * p.servers)
    part = wanted / (total if m.roots else np.maximum(total, 1e-300))[m.budget[g]]
    shares = np.zeros((3, p.users))
    i, e = np.divmod(m.budget[g], p.servers)
    shares[i, m.user[m.pair[g]]] = np.minimum(part, m.H[g]) * p.budgets[i, e]
    placed = None
    if p.models:
        placed = v[m.at["u"] : m.at["x"]].reshape(p.servers, p.models) > 0.5
    return option, placed, shares, g


def solve(problem: PlacementProblem, *, gap: float, time_limit_s: float | None) -> RawPlacement:
    """Optimal options, models and shares of a few users.

    Parameters
    ----------
    problem : PlacementProblem
    gap : float
        Asked relative gap [1]; at least 1e-8 is left open.
    time_limit_s : float or None
        Limit [s]; the best answer and the bound by then are returned.

    Raises
    ------
    InvalidInput
        For another class of problem.
    Infeasible
        Where users' limits cannot be kept together, or the models of users who have no option on their devices do not
        fit the servers together.
    SolverFailure
        Where HiGHS fails, or finds no point in time.
    """
    if not isinstance(problem, PlacementProblem):
        raise InvalidInput("problem", type(problem).__name__, "a PlacementProblem", "Build one of them first.")
    clock = Clock(time_limit_s)
    m = make_model(problem)
    milp = program(m, clock)

    def read(v: Array) -> tuple[SimpleNamespace, Ints]:
        option, placed, shares, g = _read(m, v)
        given = {"downlink_hz": shares[0], "uplink_hz": shares[1], "edge_share": shares[2]}
        return SimpleNamespace(option=option, placed=placed, **given), g

    def finer(v: Array, g: Ints) -> Iterator[Rows]:
        if not m.roots:
            yield stage_time(m, g, np.clip(v[m.at["x"] + g], 1e-6 * m.H[g], m.H[g]))
            return
        b = np.unique(m.budget[g])
        roots = np.sqrt(m.w[m.pair[g]] * m.a[g])
        total = np.bincount(m.budget[g], weights=roots, minlength=3 * problem.servers)
        yield root(m, b, np.asarray(total[b], dtype=np.float64))

    def infeasible() -> Infeasible:
        return limits_not_kept(problem, list(range(problem.users))) if problem.limited else models_too_large(problem)

    found = refined(
        problem, milp, clock, unit=m.unit, gap=gap, rounds=_ROUNDS, read=read, finer=finer,
        infeasible=infeasible,
    )  # fmt: skip
    return RawPlacement(**found.fields)
