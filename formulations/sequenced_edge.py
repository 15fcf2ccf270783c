"""In which order one edge server serves whole chains, and with which options: a `SequencedEdgeProblem`.

Class: MILP on HiGHS, an outer approximation made finer until the gap is proven. Exact, linear and Shannon rates.

Sets
    k users; g groups with a prefix; c, d chains: users and prefixes; j the pairs (user, open option), k(j) their user
Parameters (dimensionless: shares in the band, times over a unit U of latency)
    R_j release, G_j edge work (0 without a turn);  F_j what follows, without a turn with the release;  P_g prefix work
    w_k, v_g weights;  T_j(x) seconds of a download on the share x: a/x, or a/(x ln(1 + g/x));  H horizon of all chains
Variables
    y_j binary, option taken;  p_g binary, prefix served;  z_cd binary, c before d (c < d)
    E_c end of a turn, 0 without one;  x_j share;  t_j seconds;  l_k latency;  h largest weighted latency
Objective
    sum: Σ w l + Σ v E_g;  max: h
Constraints (model: `SequencedEdgeProblem`)
    one_option    Σ_{j of k} y = 1                          one option per user
    ready         E_k >= Σ_j (R + G) y over turns           start >= release
                  E_g >= P p
    prefixed      p_g >= Σ y over turns of k                a prefix is served if a member has a turn
                  E_k >= E_g + Σ_j G y - H (1 - Σ y)        and before it (sums over turns)
    in_turns      E_d >= E_c + G_d - H (1 - z_cd)           start >= end of the one before
                  E_c >= E_d + G_c - H z_cd
    latency       l_k >= E_k + Σ_j (F y + t)                L = start + edge_work + after + download
    band          Σ x <= 1,  x_j <= y_j                     sum b <= B
    download      t_j >= T(x0) y_j + T'(x0) (x_j - x0 y_j)  tangents of the perspective of T, which is convex
    largest       h >= w_k l_k                              epigraph of max_k w_k L_k
The answer is the best point found, its starts recomputed from its order, and evaluated by the problem; the bound is
HiGHS' own.
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
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.radio.rates import time_and_slopes
from megdt_opt.solving.highs import Clock, Program, Rows, at_least, at_most

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDS = 60
"""Programs that are made finer, at most."""

_POINTS = 8
"""Tangents to a download's time at first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTurns:
    """What the formulation found.

    Parameters
    ----------
    option : array of int, (K,)
    order : array of int, (N,)
        Chains served, K + g for the prefix of group g.
    start_s : array, (K,)
    downlink_hz : array, (K,)
    prefix_start_s : array, (G,), or None
    bound : float
        Lower bound of the objective that HiGHS claims [s].
    build_s, solve_s : float
        Seconds [s].
    message : str
    """

    option: Ints
    order: Ints
    start_s: Array
    downlink_hz: Array
    prefix_start_s: Array | None
    bound: float
    build_s: float
    solve_s: float
    message: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Sets and numbers of the header; `at` is the first column of each group of variables."""

    problem: SequencedEdgeProblem
    user: Ints
    option: Ints
    R: Array
    G: Array
    F: Array
    P: Array
    a: Array
    gamma: Array
    unit: float

    @cached_property
    def chains(self) -> tuple[Ints, Ints]:
        """Pairs c < d of chains whose order is decided."""
        p = self.problem
        c, d = np.triu_indices(p.users + p.groups, 1)
        # a prefix is before its members anyway
        own = (d >= p.users) & (c < p.users) & (p.group_of[np.minimum(c, p.users - 1)] == d - p.users)
        return c[~own].astype(np.int64), d[~own].astype(np.int64)

    @cached_property
    def at(self) -> dict[str, int]:
        """First columns of y, p, z, E, x, t, l and h, and their number."""
        p, pairs = self.problem, self.user.size
        sizes = {
            "y": pairs, "p": p.groups, "z": self.chains[0].size, "E": p.users + p.groups, "x": pairs, "t": pairs,
            "l": p.users, "h": 1,
        }  # fmt: skip
        ends = np.cumsum(list(sizes.values())).tolist()
        return dict(zip([*sizes, "end"], [0, *ends], strict=True))

    @cached_property
    def H(self) -> float:  # noqa: N802
        """By when all chains can have ended, whatever the order."""
        most = np.zeros(self.problem.users)
        np.maximum.at(most, self.user, self.G)
        return float(most.sum() + self.P.sum() + np.where(self.G > 0, self.R, 0.0).max(initial=0.0)) or 1.0


def make_model(problem: SequencedEdgeProblem) -> Model:
    """Numbers of the open options."""
    user, option = np.nonzero(problem.open_options)
    work, release = problem.edge_work_s[user, option], problem.release_s[user, option]
    bit, law = problem.downlink_bit[user, option], problem.law[user]
    sends = bit > 0
    a, gamma = np.zeros(user.size), np.full(user.size, np.inf)
    if sends.any():
        if problem.downlink_snr_hz is None:
            a[sends] = bit[sends] / (law[sends] * problem.downlink_hz)
        else:
            a[sends] = bit[sends] * np.log(2.0) / problem.downlink_hz
            gamma[sends] = law[sends] / problem.downlink_hz
    fixed = problem.after_s[user, option] + np.where(work > 0, 0.0, release)
    alone = fixed + np.where(work > 0, release + work, 0.0) + time_and_slopes(np.ones(a.size), a, gamma)[0]
    least = np.full(problem.users, np.inf)
    np.minimum.at(least, user, alone)
    unit = float(least.max()) or 1.0
    return Model(
        problem=problem, user=user, option=option, R=release / unit, G=work / unit, F=fixed / unit,
        P=problem.prefix_works / unit, a=a / unit, gamma=gamma, unit=unit,
    )  # fmt: skip


Entry = tuple[NDArray[np.intp] | Ints, NDArray[np.intp] | Ints, Array]


def _rows(m: Model, entries: list[Entry], count: int) -> csr_array:
    """A sparse matrix with `count` rows from (rows, columns, values)."""
    row, column, value = (np.concatenate([np.atleast_1d(one[n]) for one in entries]) for n in range(3))
    return csr_array(coo_array((value, (row, column)), shape=(count, m.at["end"])))


def one_option(m: Model) -> Rows:
    """Σ_{j of k} y = 1."""
    one = np.ones(m.problem.users)
    matrix = _rows(m, [(m.user, np.arange(m.user.size), np.ones(m.user.size))], m.problem.users)
    return Rows(matrix=matrix, lower=one, upper=one)


def ready(m: Model) -> Rows:
    """E_k >= Σ_j (R + G) y over turns, E_g >= P p."""
    users, groups = m.problem.users, m.problem.groups
    k, g, j = np.arange(users), np.arange(groups), np.flatnonzero(m.G > 0)
    entries: list[Entry] = [
        (k, m.at["E"] + k, np.ones(users)), (m.user[j], j, -(m.R + m.G)[j]),
        (users + g, m.at["E"] + users + g, np.ones(groups)), (users + g, m.at["p"] + g, -m.P),
    ]  # fmt: skip
    return at_least(_rows(m, entries, users + groups), 0.0)


def prefixed(m: Model) -> Rows:
    """p_g >= Σ y over turns of k, and E_k >= E_g + Σ_j G y - H (1 - Σ y), for members k of g."""
    p = m.problem
    k = np.flatnonzero(p.group_of >= 0)
    row, place = np.arange(k.size), np.full(p.users, -1)
    place[k] = row
    j = np.flatnonzero((m.G > 0) & (place[m.user] >= 0))
    mine, g, one = place[m.user[j]], p.group_of[k], np.ones(k.size)
    second = k.size + row
    entries: list[Entry] = [
        (row, m.at["p"] + g, one), (mine, j, -np.ones(j.size)), (second, m.at["E"] + k, one),
        (second, m.at["E"] + p.users + g, -one), (k.size + mine, j, -m.G[j] - m.H),
    ]  # fmt: skip
    return at_least(_rows(m, entries, 2 * k.size), np.r_[np.zeros(k.size), np.full(k.size, -m.H)])


def in_turns(m: Model) -> Rows:
    """E_d >= E_c + G_d - H (1 - z_cd), E_c >= E_d + G_c - H z_cd."""
    p = m.problem
    c, d = m.chains
    n, pair = c.size, np.arange(c.size)
    entries: list[Entry] = []
    for row, early, late, sign in ((pair, c, d, -m.H), (n + pair, d, c, m.H)):
        entries += [
            (row, m.at["E"] + late, np.ones(n)), (row, m.at["E"] + early, -np.ones(n)),
            (row, m.at["z"] + pair, np.full(n, sign)),
        ]  # fmt: skip
        for chain in range(p.users + p.groups):
            mine = row[late == chain]
            j = np.flatnonzero((m.user == chain) & (m.G > 0))
            columns, work = (j, m.G[j]) if chain < p.users else (
                np.array([m.at["p"] + chain - p.users]), m.P[[chain - p.users]]
            )  # fmt: skip
            entries.append((np.repeat(mine, columns.size), np.tile(columns, mine.size), -np.tile(work, mine.size)))
    return at_least(_rows(m, entries, 2 * n), np.r_[np.full(n, -m.H), np.zeros(n)])


def latency(m: Model) -> Rows:
    """l_k >= E_k + Σ_j (F y + t)."""
    k, j, one = np.arange(m.problem.users), np.arange(m.user.size), np.ones(m.problem.users)
    entries: list[Entry] = [
        (k, m.at["l"] + k, one), (k, m.at["E"] + k, -one), (m.user, j, -m.F), (m.user, m.at["t"] + j, -np.ones(j.size)),
    ]  # fmt: skip
    return at_least(_rows(m, entries, k.size), 0.0)


def band(m: Model) -> Rows:
    """Σ x <= 1."""
    j = np.arange(m.user.size)
    return at_most(_rows(m, [(np.zeros(j.size, np.int64), m.at["x"] + j, np.ones(j.size))], 1), 1.0)


def taken(m: Model) -> Rows:
    """x_j <= y_j."""
    j = np.arange(m.user.size)
    return at_most(_rows(m, [(j, m.at["x"] + j, np.ones(j.size)), (j, j, -np.ones(j.size))], j.size), 0.0)


def download(m: Model, j: Ints, point: Array) -> Rows:
    """t_j >= T(x0) y_j + T'(x0) (x_j - x0 y_j), divided by the largest coefficient."""
    t, slope, _ = time_and_slopes(point, m.a[j], m.gamma[j])
    size = np.maximum(np.maximum(t - slope * point, -slope), 1.0)
    row = np.arange(j.size)
    entries: list[Entry] = [
        (row, m.at["t"] + j, 1.0 / size),
        (row, j, (slope * point - t) / size),
        (row, m.at["x"] + j, -slope / size),
    ]
    return at_least(_rows(m, entries, j.size), 0.0)


def largest(m: Model) -> Rows:
    """h >= w_k l_k."""
    k = np.arange(m.problem.users)
    entries: list[Entry] = [(k, np.full(k.size, m.at["h"]), np.ones(k.size)), (k, m.at["l"] + k, -m.problem.weights)]
    return at_least(_rows(m, entries, k.size), 0.0)


def program(m: Model, clock: Clock) -> Program:
    """Columns and rows, with the first tangents."""
    at, end, p = m.at, m.at["end"], m.problem
    cost, lower, upper = np.zeros(end), np.zeros(end), np.full(end, np.inf)
    upper[: at["E"]] = 1.0
    upper[at["x"] : at["t"]] = np.where(m.a > 0, 1.0, 0.0)
    if p.objective == "sum":
        cost[at["l"] : at["h"]] = p.weights
        cost[at["E"] + p.users : at["x"]] = p.prefix_weights
    else:
        cost[at["h"]] = 1.0
    milp = Program(cost, lower, upper, np.arange(end) < at["E"], clock)
    for rows in (one_option, ready, prefixed, in_turns, latency, band, taken):
        milp.add(rows(m))
    if p.objective == "max":
        milp.add(largest(m))
    sends = np.flatnonzero(m.a > 0)
    for n in range(_POINTS):
        milp.add(download(m, sends, np.full(sends.size, 0.5**n)))
    return milp


def _read(m: Model, v: Array) -> tuple[SimpleNamespace, Ints]:
    """The decisions of a point, and the pairs that were taken."""
    p = m.problem
    last = np.argsort(v[: m.user.size], kind="stable")
    option = np.zeros(p.users, dtype=np.int64)
    option[m.user[last]] = m.option[last]
    j = np.flatnonzero(m.option == option[m.user])
    turn = p.edge_work_s[np.arange(p.users), option] > 0
    needed = np.zeros(p.groups, dtype=bool)
    needed[p.group_of[turn & (p.group_of >= 0)]] = True
    served = np.r_[turn, needed & (p.prefix_works > 0)]
    end = v[m.at["E"] : m.at["x"]]
    # a prefix goes before its members whatever rounding says
    late = np.r_[np.zeros(p.users), np.ones(p.groups)]
    order = np.array([c for c in np.lexsort((-late, end)) if served[c]], dtype=np.int64)
    begin, now = np.full(p.users + p.groups, np.nan), 0.0
    for c in order.tolist():
        ready_s = float(p.release_s[c, option[c]]) if c < p.users else 0.0
        begin[c] = now = max(now, ready_s)
        now += float(p.edge_work_s[c, option[c]] if c < p.users else p.prefix_works[c - p.users])
    wanted = np.where(m.a[j] > 0, np.maximum(v[m.at["x"] + j], 1e-9), 0.0)
    share = np.zeros(p.users)
    share[m.user[j]] = wanted / max(float(wanted.sum()), 1e-300) if wanted.any() else 0.0
    decided = SimpleNamespace(
        option=option, order=order, start_s=begin[: p.users], downlink_hz=share * p.downlink_hz,
        prefix_start_s=begin[p.users :] if p.groups else None,
    )  # fmt: skip
    return decided, j[m.a[j] > 0]


def solve(problem: SequencedEdgeProblem, *, gap: float, time_limit_s: float | None) -> RawTurns:
    """Optimal options, order and shares of a few users.

    Parameters
    ----------
    problem : SequencedEdgeProblem
    gap : float
        Asked relative gap [1]; at least 1e-8 is left open.
    time_limit_s : float or None
        Limit [s]; the best answer and the bound by then are returned.

    Raises
    ------
    InvalidInput
        For another class of problem.
    SolverFailure
        Where HiGHS fails, or finds no point in time.
    """
    if not isinstance(problem, SequencedEdgeProblem):
        raise InvalidInput("problem", type(problem).__name__, "a SequencedEdgeProblem", "Build one of them first.")
    clock = Clock(time_limit_s)
    m = make_model(problem)
    milp = program(m, clock)

    def finer(v: Array, j: Ints) -> Iterator[Rows]:
        yield download(m, j, np.clip(v[m.at["x"] + j], 1e-6, 1.0))

    found = refined(
        problem, milp, clock, unit=m.unit, gap=gap, rounds=_ROUNDS, read=partial(_read, m), finer=finer,
        infeasible=lambda: SolverFailure("HiGHS calls a problem infeasible that has an answer"),
    )  # fmt: skip
    return RawTurns(**found.fields)
