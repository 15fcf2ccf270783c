"""Which program of tasks each user runs, and how bands and edge are shared.

Class: MILP on HiGHS, an outer approximation made finer until the gap is proven. Exact, linear and Shannon rates.

Sets
    k users; j the pairs (user, open option), k(j) their user; i in {downlink, uplink, edge}
    n the tasks of a pair; e = (j, n) those that ask for a resource, i(e) the resource
    before_mn whether task n waits for m;  behind_ef whether f comes after e, at once or later, and i(e) = i(f)
Parameters (dimensionless: shares in budgets, times over a unit U of latency)
    F_jn fixed time of a task;  w_k weight;  a_e seconds of a task at R = 1;  H_ji largest share: 1 or the cap
    R_ji(x) = x, or x ln(1 + g/x);  points of tangents
Variables
    y_j binary, option taken;  x_ji share of the user;  q_e speed of a task;  t_e seconds
    s_e, c_ef the share's flow into a task from the start and from the task before it
    d_jn end of a task if taken, else 0;  v_j latency if taken, else 0;  h largest weighted latency
Objective
    sum: Σ w v;  max: h
Constraints (model: `ProgramProblem`)
    one_option   Σ_{j of k} y = 1                              one option per user
    budget       Σ_j x_ji <= 1                                 sum of the users' shares
    share_limit  x_ji <= H_ji y_j                              f <= edge_share_max; no share of what is not taken
    fed          q_e <= s_e + Σ_m c_me                         a task runs at what flows into it
    handed_on    Σ_f c_ef <= s_e + Σ_m c_me                    what ran one task goes on to later ones
    divided      Σ_e s_e <= R(x0) y + R'(x0) (x_ji - x0 y)     tangents of the perspective of R, which is concave
    task_time    t_e >= (2 / q0) a y - (a / q0^2) q            tangents of the perspective of a / q
    order        d_jn >= F y + t + d_jm where before_mn, and without d_jm;  v_j >= d_jn     longest path
    largest      h >= w_k Σ_{j of k} v_j                       epigraph of max_k w_k L_k
What flows through a set of tasks that may run at once is at most what starts (Dilworth): so the speeds of every such
set sum to at most R(x), without listing the sets. The answer is the best point found, evaluated by the problem; the
bound is HiGHS' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.formulations._refining import refined
from megdt_opt.problem.conflicts import nothing_open
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.radio.rates import bend, speed
from megdt_opt.solving.highs import Clock, Program, Rows, at_least, at_most

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDS = 80
"""Programs that are made finer, at most."""

_POINTS = 6
"""Tangents at first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawProgram:
    """What the formulation found.

    Parameters
    ----------
    option : array of int, (K,)
    downlink_hz, uplink_hz, edge_share : array, (K,)
        Shares [Hz, Hz, 1].
    part : array, (K, N)
        Parts of the shares that tasks get [1].
    bound : float
        Lower bound of the objective that HiGHS claims [s].
    build_s, solve_s : float
        Seconds [s].
    message : str
    """

    option: Ints
    downlink_hz: Array
    uplink_hz: Array
    edge_share: Array
    part: Array
    bound: float
    build_s: float
    solve_s: float
    message: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Sets and numbers of the header; `at` is the first column of each group of variables."""

    problem: ProgramProblem
    user: Ints
    option: Ints
    pair: Ints  # of each task e that asks for a resource
    task: Ints
    resource: Ints
    a: Array
    gamma: Array  # (3, J)
    H: Array  # (3, J)
    behind: Ints  # (C, 2) tasks e and f
    unit: float

    @cached_property
    def at(self) -> dict[str, int]:
        """First columns of y, x, q, t, s, c, d, v and h, and their number."""
        pairs, tasks = self.user.size, self.a.size
        sizes = {
            "y": pairs, "x": 3 * pairs, "q": tasks, "t": tasks, "s": tasks, "c": len(self.behind),
            "d": pairs * self.problem.tasks, "v": pairs, "h": 1,
        }  # fmt: skip
        ends = np.cumsum(list(sizes.values())).tolist()
        return dict(zip([*sizes, "end"], [0, *ends], strict=True))

    @property
    def w(self) -> Array:
        """Weight of each pair's user, (J,)."""
        return np.asarray(self.problem.weights[self.user])

    def rate(self, i: Ints, j: Ints, x: Array) -> tuple[Array, Array]:
        """R and R' of resources and pairs at shares."""
        gamma = self.gamma[i, j]
        curved = np.isfinite(gamma)
        return speed(x, gamma), np.where(curved, bend(np.where(curved, gamma, 1.0) / x), 1.0)


def make_model(problem: ProgramProblem) -> Model:
    """Numbers of the open options."""
    user, option = np.nonzero(problem.open_options)
    amounts = problem.amounts[:, user, option]  # (3, J, N)
    resource, pair, task = np.nonzero(amounts > 0)
    a = amounts[resource, pair, task] / problem.budgets[resource]
    gamma, top = np.full((3, user.size), np.inf), np.ones((3, user.size))
    for i, side in enumerate(("downlink", "uplink")):
        law, own = problem.law(side), resource == i
        if law is None:
            continue
        if getattr(problem, f"{side}_snr_hz") is None:
            a[own] /= law[user[pair[own]]]
        else:
            a[own] *= np.log(2.0)
            gamma[i] = np.where(law[user] > 0, law[user] / max(problem.budgets[i], 1e-300), np.inf)
    top[2] = np.minimum(problem.share_caps[user] / max(problem.edge_capacity, 1e-300), 1.0)
    behind = []
    for j in range(user.size):
        reach = problem.before[user[j], option[j]].copy()
        for middle in range(problem.tasks):
            reach |= np.outer(reach[:, middle], reach[middle])
        own = np.flatnonzero(pair == j)
        behind += [
            (e, f) for e in own for f in own if resource[e] == resource[f] and reach[task[e], task[f]]
        ]  # fmt: skip
    alone = problem.fixed_s[user, option].sum(axis=1)
    np.add.at(alone, pair, a * problem.users)
    least = np.full(problem.users, np.inf)
    np.minimum.at(least, user, problem.weights[user] * alone)
    unit = float(least.max() if problem.objective == "max" else least.sum()) or 1.0
    return Model(
        problem=problem, user=user, option=option, pair=pair, task=task, resource=resource, a=a / unit, gamma=gamma,
        H=top, behind=np.array(behind, dtype=np.int64).reshape(-1, 2), unit=unit,
    )  # fmt: skip


def _rows(m: Model, entries: list[tuple[Ints, Ints, Array]], count: int) -> csr_array:
    """A sparse matrix with `count` rows from (rows, columns, values)."""
    row, column, value = (np.concatenate([np.atleast_1d(one[n]) for one in entries]) for n in range(3))
    return csr_array(coo_array((value, (row, column)), shape=(count, m.at["end"])))


def one_option(m: Model) -> Rows:
    """Σ_{j of k} y = 1."""
    one = np.ones(m.problem.users)
    matrix = _rows(m, [(m.user, np.arange(m.user.size), np.ones(m.user.size))], m.problem.users)
    return Rows(matrix=matrix, lower=one, upper=one)


def budget(m: Model) -> Rows:
    """Σ_j x_ji <= 1."""
    column = np.arange(3 * m.user.size)
    return at_most(_rows(m, [(column // m.user.size, m.at["x"] + column, np.ones(column.size))], 3), 1.0)


def share_limit(m: Model) -> Rows:
    """x_ji <= H_ji y_j."""
    column = np.arange(3 * m.user.size)
    entries = [(column, m.at["x"] + column, np.ones(column.size)), (column, column % m.user.size, -m.H.ravel())]
    return at_most(_rows(m, entries, column.size), 0.0)


def fed(m: Model) -> Rows:
    """q_e <= s_e + Σ_m c_me."""
    e, c = np.arange(m.a.size), np.arange(len(m.behind))
    entries = [
        (e, m.at["q"] + e, np.ones(e.size)), (e, m.at["s"] + e, -np.ones(e.size)),
        (m.behind[:, 1], m.at["c"] + c, -np.ones(c.size)),
    ]  # fmt: skip
    return at_most(_rows(m, entries, e.size), 0.0)


def handed_on(m: Model) -> Rows:
    """Σ_f c_ef <= s_e + Σ_m c_me."""
    e, c = np.arange(m.a.size), np.arange(len(m.behind))
    entries = [
        (e, m.at["s"] + e, -np.ones(e.size)), (m.behind[:, 0], m.at["c"] + c, np.ones(c.size)),
        (m.behind[:, 1], m.at["c"] + c, -np.ones(c.size)),
    ]  # fmt: skip
    return at_most(_rows(m, entries, e.size), 0.0)


def divided(m: Model, i: Ints, j: Ints, point: Array) -> Rows:
    """Σ_e s_e <= R(x0) y + R'(x0) (x_ji - x0 y), of resources and pairs."""
    rate, slope = m.rate(i, j, point)
    row = np.arange(i.size)
    place = np.full((3, m.user.size), -1)
    place[i, j] = row
    e = np.flatnonzero(place[m.resource, m.pair] >= 0)
    entries = [
        (place[m.resource[e], m.pair[e]], m.at["s"] + e, np.ones(e.size)), (row, j, slope * point - rate),
        (row, m.at["x"] + i * m.user.size + j, -slope),
    ]  # fmt: skip
    return at_most(_rows(m, entries, i.size), 0.0)


def task_time(m: Model, e: Ints, point: Array) -> Rows:
    """t_e >= (2 / q0) a y - (a / q0^2) q, divided by the largest coefficient."""
    first, second = 2.0 * m.a[e] / point, m.a[e] / point**2
    size = np.maximum(np.maximum(first, second), 1.0)
    row = np.arange(e.size)
    entries = [(row, m.at["t"] + e, 1.0 / size), (row, m.pair[e], -first / size), (row, m.at["q"] + e, second / size)]
    return at_least(_rows(m, entries, e.size), 0.0)


def order(m: Model) -> Rows:
    """d_jn >= F y + t + d_jm where m comes before n, and without; v_j >= d_jn."""
    p, pairs = m.problem, m.user.size
    tasks = np.arange(pairs * p.tasks)
    j, n = np.divmod(tasks, p.tasks)
    fixed = p.fixed_s[m.user[j], m.option[j], n] / m.unit
    own = np.full(tasks.size, -1)
    own[m.pair * p.tasks + m.task] = np.arange(m.a.size)
    arcs = np.argwhere(p.before[m.user, m.option])
    first, then = arcs[:, 0] * p.tasks + arcs[:, 1], arcs[:, 0] * p.tasks + arcs[:, 2]
    later = np.r_[tasks, then]
    row, one = np.arange(later.size), np.ones(later.size)
    busy = own[later] >= 0
    earlier = tasks.size + np.arange(first.size)
    last = later.size + tasks
    entries = [
        (row, m.at["d"] + later, one), (row, j[later], -fixed[later]),
        (row[busy], m.at["t"] + own[later][busy], -one[busy]), (earlier, m.at["d"] + first, -np.ones(first.size)),
        (last, m.at["v"] + j, np.ones(tasks.size)), (last, m.at["d"] + tasks, -np.ones(tasks.size)),
    ]  # fmt: skip
    return at_least(_rows(m, entries, later.size + tasks.size), 0.0)


def largest(m: Model) -> Rows:
    """h >= w_k Σ_{j of k} v_j."""
    k = np.arange(m.problem.users)
    entries = [(k, np.full(k.size, m.at["h"]), np.ones(k.size)), (m.user, m.at["v"] + np.arange(m.user.size), -m.w)]
    return at_least(_rows(m, entries, k.size), 0.0)


def program(m: Model, clock: Clock) -> Program:
    """Columns and rows, with the first tangents."""
    at, end = m.at, m.at["end"]
    cost, lower, upper = np.zeros(end), np.zeros(end), np.full(end, np.inf)
    upper[: at["x"]] = 1.0
    upper[at["x"] : at["q"]] = m.H.ravel()
    top = m.rate(m.resource, m.pair, m.H[m.resource, m.pair])[0]
    upper[at["q"] : at["t"]] = top
    if m.problem.objective == "sum":
        cost[at["v"] : at["h"]] = m.w
    else:
        cost[at["h"]] = 1.0
    milp = Program(cost, lower, upper, np.arange(end) < at["x"], clock)
    for rows in (one_option(m), budget(m), share_limit(m), fed(m), handed_on(m), order(m)):
        milp.add(rows)
    if m.problem.objective == "max":
        milp.add(largest(m))
    i, j = _shared(m)
    for n in range(_POINTS):
        milp.add(divided(m, i, j, m.H[i, j] / 2.0**n))
        milp.add(task_time(m, np.arange(m.a.size), top / 2.0**n))
    return milp


def _shared(m: Model) -> tuple[Ints, Ints]:
    """Resources and pairs that ask for them."""
    both = np.unique(np.stack([m.resource, m.pair], axis=1), axis=0).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _read(m: Model, v: Array) -> tuple[SimpleNamespace, Ints]:
    """The answer at a point, and the tasks that were taken."""
    p, pairs = m.problem, m.user.size
    best = np.argsort(v[:pairs], kind="stable")
    option = np.zeros(p.users, dtype=np.int64)
    option[m.user[best]] = m.option[best]
    taken = m.option == option[m.user]
    e = np.flatnonzero(taken[m.pair])
    x = np.where(taken, v[m.at["x"] : m.at["q"]].reshape(3, pairs), 0.0)
    asked = np.zeros((3, pairs), bool)
    asked[m.resource[e], m.pair[e]] = True
    x = np.where(asked, np.maximum(x, 1e-9), 0.0)
    x = np.minimum(x / np.maximum(x.sum(axis=1, keepdims=True), 1e-300), m.H)
    shares = np.zeros((3, p.users))
    shares[:, m.user[taken]] = x[:, taken] * p.budgets[:, None]
    part = np.ones((p.users, p.tasks))
    user, task = m.user[m.pair[e]], m.task[e]
    part[user, task] = np.maximum(v[m.at["q"] + e], 1e-9)
    for k in range(p.users):
        for i in range(3):
            own = task[(user == k) & (m.resource[e] == i)]
            if own.size:
                part[k, own] /= _together(p, k, int(option[k]), own, part[k])
    decided = SimpleNamespace(
        option=option, downlink_hz=shares[0], uplink_hz=shares[1], edge_share=shares[2], part=part
    )
    return decided, e


def _together(p: ProgramProblem, k: int, o: int, tasks: Ints, part: Array) -> float:
    """The largest sum of parts of tasks of which none comes before another, by a flow of least value (a small LP)."""
    from scipy.optimize import linprog

    reach = p.before[k, o].copy()
    for middle in range(p.tasks):
        reach |= np.outer(reach[:, middle], reach[middle])
    arcs = [(e, f) for e in range(tasks.size) for f in range(tasks.size) if reach[tasks[e], tasks[f]]]
    into, out = np.zeros((tasks.size, tasks.size + len(arcs))), np.zeros((tasks.size, tasks.size + len(arcs)))
    into[:, : tasks.size] = np.eye(tasks.size)
    for n, (e, f) in enumerate(arcs):
        into[f, tasks.size + n] = out[e, tasks.size + n] = 1.0
    cost = np.r_[np.ones(tasks.size), np.zeros(len(arcs))]
    limits, bounds = np.vstack([-into, out - into]), np.r_[-part[tasks], np.zeros(tasks.size)]
    found = linprog(cost, A_ub=limits, b_ub=bounds, method="highs")
    return float(found.fun) * (1.0 + 1e-9)


def solve(problem: ProgramProblem, *, gap: float, time_limit_s: float | None) -> RawProgram:
    """Optimal options and shares of a few users.

    Parameters
    ----------
    problem : ProgramProblem
    gap : float
        Asked relative gap [1]; at least 1e-8 is left open.
    time_limit_s : float or None
        Limit [s]; the best answer and the bound by then are returned.

    Raises
    ------
    InvalidInput
        For another class of problem.
    Infeasible
        Where all options of a user are closed.
    SolverFailure
        Where HiGHS fails, or finds no point in time.
    """
    if not isinstance(problem, ProgramProblem):
        raise InvalidInput("problem", type(problem).__name__, "a ProgramProblem", "Build one of them first.")
    if not problem.open_options.any(axis=1).all():
        raise nothing_open(problem)
    clock = Clock(time_limit_s)
    m = make_model(problem)
    milp = program(m, clock)

    def finer(v: Array, e: Ints) -> Iterator[Rows]:
        i, j = np.unique(np.stack([m.resource[e], m.pair[e]]), axis=1)
        x = v[m.at["x"] + i * m.user.size + j]
        yield divided(m, i, j, np.clip(x, 1e-6 * m.H[i, j], m.H[i, j]))
        top = m.rate(m.resource[e], m.pair[e], m.H[m.resource[e], m.pair[e]])[0]
        yield task_time(m, e, np.clip(v[m.at["q"] + e], 1e-6 * top, top))

    found = refined(
        problem, milp, clock, unit=m.unit, gap=gap, rounds=_ROUNDS, read=partial(_read, m), finer=finer,
        infeasible=lambda: SolverFailure("HiGHS calls a problem infeasible that has an answer"),
    )  # fmt: skip
    return RawProgram(**found.fields)
