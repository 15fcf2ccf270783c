"""Which trunks groups run, which options their members take, and how bands and edge are shared.

Class: MILP on HiGHS, an outer approximation made finer until the gap is proven. Exact, linear and Shannon rates.

Sets
    k users; c groups; q trunks, c(q) their groups; j the pairs (user, open option), k(j), c(j) their users and groups
    R pairs that wait for a trunk, R2 those that wait for its multicast too; p = j, q or q's multicast: what has stages
    s the stages (p, i) with a demand of i in {downlink, uplink, edge}; s inside: edge of R, where groups are phased
Parameters (dimensionless: shares in budgets, times over a unit U of latency)
    F_j, F_q fixed latency;  w_k weight;  B no trunk of a better answer takes longer
    T_s(x) seconds of a stage on the share x: a/x, or a/(x ln(1 + g/x));  H_s largest share;  l_s least, for airtime
Variables
    y_j, u_q binary, option taken and trunk run;  m_q in [0, 1], multicast sent;  y_p any of the three
    x_s share;  t_s seconds;  f_c a group's edge share;  r_k seconds waited for trunk and multicast;  v_k latency
    h largest weighted latency
Objective
    sum: Σ w v;  max: h
Constraints (model: `SharedPrefixProblem`)
    one_option    Σ_{j of k} y = 1                        one option per user
    one_trunk     Σ_{q of c} u <= 1                       one trunk per group
    beside        y_j + u_q <= 1                          for pairs and trunks of one group that are not compatible
    ridden        y_j <= Σ_{q of c(j)} u for j in R       who waits has something to wait for
    cast          m_q >= u_q + Σ_{j of k in R2} y - 1     the multicast is sent where somebody waits for it
    budget        Σ x + Σ f <= 1, x not inside            sum b <= B, sum f <= F
    inside        f_c >= Σ x of trunks, f_c >= Σ x inside  the trunk runs on the group's share, then riders divide it
    share_limit   l_s y_p <= x_s <= H_s y_p               caps, limits on airtime; no share of what is not taken
    stage_time    t_s >= T(x0) y_p + T'(x0) (x_s - x0 y_p)   tangents of the perspective of T, which is convex
    waited        r_k >= Σ_q (F u + t_up + t_edge) - B (1 - Σ_{R} y), and with t_down of the multicast for R2
    latency       v_k >= Σ_j (F y + t) + r_k              all stages in series
    largest       h >= w_k v_k                            epigraph of max_k w_k L_k
Groups that are formed have the rows of `_forming` beside these.
B is U: an answer whose trunk takes longer than U is worse than the one with which U was found. The answer is the best
point found, evaluated by the problem; the bound is HiGHS' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.formulations._forming import formed, sets
from megdt_opt.formulations._refining import refined
from megdt_opt.problem.conflicts import airtime_too_short
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.radio.rates import shannon_band, time_and_slopes
from megdt_opt.solving.highs import Clock, Program, Rows, at_least, at_most

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

DOWNLINK, UPLINK, EDGE = range(3)

_ROUNDS = 80
"""Programs that are made finer, at most."""

_POINTS = 7
"""Tangents to a stage's time at first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawPrefix:
    """What the formulation found.

    Parameters
    ----------
    option : array of int, (K,)
    trunk : array of int, (G,)
    group : array of int, (K,), or None
        Groups that were formed.
    uplink_hz, edge_share, downlink_hz : array, (K,)
        [Hz, 1, Hz]
    trunk_uplink_hz, trunk_edge_share, multicast_hz : array, (G,)
        [Hz, 1, Hz]
    bound : float
        Lower bound of the objective that HiGHS claims [s].
    build_s, solve_s : float
        Seconds [s].
    message : str
    """

    option: Ints
    trunk: Ints
    uplink_hz: Array
    edge_share: Array
    downlink_hz: Array
    trunk_uplink_hz: Array
    trunk_edge_share: Array
    multicast_hz: Array
    bound: float
    build_s: float
    solve_s: float
    message: str = ""
    group: Ints | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Sets and numbers of the header; columns are those of y, u, m, x, t, f, r, v, h in turn."""

    problem: SharedPrefixProblem
    user: Ints
    option: Ints
    group: Ints  # of each pair; -1 = none
    rides: Ints
    trunk: Ints  # the problem's trunk of each of q
    trunk_group: Ints  # of each of q
    groups: int
    taken: Ints  # column of y_p, of each stage
    resource: Ints  # of each stage
    inside: NDArray[np.bool_]  # of each stage
    a: Array
    gamma: Array
    H: Array
    least: Array
    unit: float

    @property
    def at(self) -> dict[str, int]:
        """First columns of the groups of variables, and their number."""
        p = self.problem
        sizes = {
            "y": self.user.size, "u": self.trunks, "m": self.trunks, "x": self.a.size, "t": self.a.size,
            "f": self.groups,
            "r": p.users, "v": p.users, "h": 1,
        }  # fmt: skip
        return dict(zip([*sizes, "end"], [0, *np.cumsum(list(sizes.values())).tolist()], strict=True))

    @property
    def fixed(self) -> Array:
        """Fixed latencies of pairs."""
        return np.asarray(self.problem.fixed_s[self.user, self.option] / self.unit)

    @property
    def trunks(self) -> int:
        """Number of q."""
        return int(self.trunk.size)

    @property
    def forms(self) -> bool:
        """Whether the groups are formed."""
        return self.problem.group is None


def make_model(problem: SharedPrefixProblem) -> Model:
    """Numbers of what is open."""
    p = problem
    user, option, group, trunk, trunk_group, groups = sets(p)
    rides = p.rides[user, option]
    budgets = (p.downlink_hz, p.uplink_hz, p.edge_capacity)
    trunks = np.flatnonzero(p.open_trunks[trunk])
    casts = np.flatnonzero((p.open_multicasts & p.open_trunks)[trunk])
    u, m = user.size, user.size + trunk.size
    parts: list[tuple[Ints, int, Array, Array, Array, Array, bool]] = []

    def stages(columns: Ints, i: int, amount: Array, link: str, rows: Ints, top: Array, airtime: Array) -> None:
        need = amount > 0
        columns, amount, rows, top, airtime = columns[need], amount[need], rows[need], top[need], airtime[need]
        gamma, least = np.full(rows.size, np.inf), np.zeros(rows.size)
        if i == EDGE or not rows.size:  # who sends nothing needs no law
            a = amount / budgets[i]
        elif getattr(p, f"{link}_snr_hz") is None:
            a = amount / (getattr(p, f"{link}_efficiency")[rows] * budgets[i])
            least = a / airtime
        else:
            snr = getattr(p, f"{link}_snr_hz")[rows]
            a, gamma = amount * np.log(2.0) / budgets[i], snr / budgets[i]
            least = np.where(np.isfinite(airtime), shannon_band(amount / airtime, snr) / budgets[i], 0.0)
        parts.append((columns, i, a, gamma, top, least, link == "inside"))

    one, never = np.ones(user.size), np.full(user.size, np.inf)
    pair = np.arange(user.size)
    caps = np.minimum(p.share_caps[user] / (p.edge_capacity or 1.0), 1.0)
    stages(pair, DOWNLINK, p.downlink_bit[user, option], "downlink", user, one, never)
    stages(pair, UPLINK, p.uplink_bit[user, option], "uplink", user, one, never)
    within = (rides > 0) & (p.reserve == "phased")
    for link, some in (("edge", ~within), ("inside", within)):
        stages(pair[some], EDGE, p.edge_work_s[user, option][some], link, user[some], caps[some], never[some])
    airtime = np.full(p.trunks, np.inf) if p.trunk_uplink_airtime_max_s is None else p.trunk_uplink_airtime_max_s
    whole, idle, c, t = np.ones(p.trunks), np.full(p.trunks, np.inf), trunk[casts], trunk[trunks]
    stages(m + casts, DOWNLINK, p.multicast_bit[c], "multicast", c, whole[c], idle[c])
    stages(u + trunks, UPLINK, p.trunk_uplink_bit[t], "trunk_uplink", t, whole[t], airtime[t])
    top = np.minimum(p.trunk_caps / (p.edge_capacity or 1.0), 1.0)
    stages(u + trunks, EDGE, p.trunk_edge_work_s[t], "trunk", t, top[t], idle[t])
    taken = np.concatenate([part[0] for part in parts])
    a, gamma, H, least = (np.concatenate([part[n] for part in parts]) for n in range(2, 6))
    resource = np.concatenate([np.full(part[0].size, part[1]) for part in parts])
    inside = np.concatenate([np.full(part[0].size, part[6]) for part in parts])
    # U: what sharing evenly without trunks takes at most, or where somebody must ride, ten times as slow as any trunk
    share = np.maximum(H / (4.0 * (p.users + groups)), least)
    time = time_and_slopes(share, a, gamma)[0]
    late = np.array(p.fixed_s[user, option])
    np.add.at(late, taken[taken < u], time[taken < u])
    alone = np.full(p.users, np.inf)
    np.minimum.at(alone, user[rides == 0], late[rides == 0])
    if not np.isfinite(alone).all():
        ahead = np.append(p.trunk_fixed_s[trunk], 0.0)
        of = taken[taken >= u]
        np.add.at(ahead, np.where(of >= m, of - m, of - u), time[taken >= u])
        alone = np.full(p.users, 0.0)
        np.maximum.at(alone, user, 10.0 * (late + ahead.max()))
    weighted = p.weights * alone
    unit = float(weighted.max() if p.objective == "max" else weighted.sum()) / float(p.weights.min()) or 1.0
    return Model(
        problem=p, user=user, option=option, group=group, rides=rides, trunk=trunk, trunk_group=trunk_group,
        groups=groups, taken=taken, resource=resource, inside=inside, a=a / unit, gamma=gamma, H=H, least=least,
        unit=unit,
    )  # fmt: skip


def _rows(m: Model, entries: list[tuple[Ints, Ints, Array]], count: int) -> csr_array:
    """A sparse matrix with `count` rows from (rows, columns, values)."""
    row, column, value = (np.concatenate([np.atleast_1d(one[n]) for one in entries]) for n in range(3))
    return csr_array(coo_array((value, (row, column)), shape=(count, m.at["end"])))


def _ones(row: Ints, column: Ints, sign: float = 1.0) -> tuple[Ints, Ints, Array]:
    return row, column, np.full(len(row), sign)


def one_option(m: Model) -> Rows:
    """Σ_{j of k} y = 1."""
    one = np.ones(m.problem.users)
    return Rows(matrix=_rows(m, [_ones(m.user, np.arange(m.user.size))], one.size), lower=one, upper=one)


def one_trunk(m: Model) -> Rows:
    """Σ_{q of c} u <= 1."""
    q = np.arange(m.trunks)
    return at_most(_rows(m, [_ones(m.trunk_group, m.at["u"] + q)], m.groups), 1.0)


def beside(m: Model) -> Rows:
    """y_j + u_q <= 1 where they are not compatible."""
    of_group = m.group[:, None] == m.trunk_group
    j, q = np.nonzero(of_group & ~m.problem.compatible[m.user, m.option][:, m.trunk])
    row = np.arange(j.size)
    return at_most(_rows(m, [_ones(row, j), _ones(row, m.at["u"] + q)], j.size), 1.0)


def ridden(m: Model) -> Rows:
    """y_j <= Σ_q u for pairs that wait; `started` where groups are formed, for all that are in one."""
    j = np.flatnonzero((m.rides > 0) | (m.forms & (m.group >= 0)))
    row, q = np.nonzero(m.group[j][:, None] == m.trunk_group)
    return at_most(_rows(m, [_ones(np.arange(j.size), j), _ones(row, m.at["u"] + q, -1.0)], j.size), 0.0)


def _memberships(m: Model) -> tuple[Ints, Ints]:
    """Users and the groups that they may be members of."""
    found = np.unique(np.column_stack([m.user, m.group])[m.group >= 0], axis=0)
    return found[:, 0], found[:, 1]


def cast(m: Model) -> Rows:
    """m_q >= u_q + Σ_{j of k in R2} y - 1."""
    k, of = _memberships(m)
    n, q = np.nonzero(of[:, None] == m.trunk_group)
    k, of, row = k[n], of[n], np.arange(n.size)
    waits, j = np.nonzero((m.user == k[:, None]) & (m.group == of[:, None]) & (m.rides == 2))
    entries = [_ones(row, m.at["m"] + q), _ones(row, m.at["u"] + q, -1.0), _ones(waits, j, -1.0)]
    return at_least(_rows(m, entries, k.size), -1.0)


def budget(m: Model) -> Rows:
    """Σ x + Σ f <= 1, without the trunks' edge shares where groups are phased."""
    drawn = ~m.inside
    if m.problem.reserve == "phased":
        drawn &= (m.resource != EDGE) | (m.taken < m.at["u"])
    s, c = np.flatnonzero(drawn), np.arange(m.groups)
    entries = [_ones(m.resource[s], m.at["x"] + s), _ones(np.full(c.size, EDGE), m.at["f"] + c)]
    return at_most(_rows(m, entries, 3), 1.0)


def inside(m: Model) -> Rows:
    """f_c >= Σ x of trunks and f_c >= Σ x inside."""
    c, groups = np.arange(m.groups), m.groups
    if m.problem.reserve != "phased":
        return at_least(np.zeros((0, m.at["end"])), 0.0)
    s = np.flatnonzero(m.inside)
    trunk = np.flatnonzero((m.resource == EDGE) & (m.taken >= m.at["u"]))
    entries = [
        _ones(c, m.at["f"] + c), _ones(groups + c, m.at["f"] + c),
        _ones(m.group[m.taken[s]], m.at["x"] + s, -1.0),
        _ones(groups + m.trunk_group[m.taken[trunk] - m.at["u"]], m.at["x"] + trunk, -1.0),
    ]  # fmt: skip
    return at_least(_rows(m, entries, 2 * groups), 0.0)


def share_limit(m: Model) -> Rows:
    """x_s <= H_s y_p and x_s >= l_s y_p."""
    s = np.arange(m.a.size)
    column = m.at["x"] + s
    entries = [_ones(s, column), (s, m.taken, -m.H), _ones(s.size + s, column, -1.0), (s.size + s, m.taken, m.least)]
    return at_most(_rows(m, entries, 2 * s.size), 0.0)


def stage_time(m: Model, s: Ints, point: Array) -> Rows:
    """t_s >= T(x0) y_p + T'(x0) (x_s - x0 y_p), divided by the largest coefficient."""
    t, slope, _ = time_and_slopes(point, m.a[s], m.gamma[s])
    size = np.maximum(np.maximum(t - slope * point, -slope), 1.0)
    row = np.arange(s.size)
    entries = [
        (row, m.at["t"] + s, 1.0 / size), (row, m.taken[s], (slope * point - t) / size),
        (row, m.at["x"] + s, -slope / size),
    ]  # fmt: skip
    return at_least(_rows(m, entries, s.size), 0.0)


def waited(m: Model) -> Rows:
    """r_k >= the trunk's seconds - B (1 - Σ_R y), and with the multicast's for R2; B = 1 unit."""
    at, (k, of) = m.at, _memberships(m)
    row, q = np.nonzero(of[:, None] == m.trunk_group)
    fixed, count = m.problem.trunk_fixed_s[m.trunk[q]] / m.unit, k.size
    of_trunk = np.flatnonzero((m.taken >= at["u"]) & (m.taken < at["m"]))
    of_cast = np.flatnonzero(m.taken >= at["m"])
    entries, parts = [], ((0, m.rides > 0, of_trunk), (count, m.rides == 2, np.r_[of_trunk, of_cast]))
    for begin, rides, stages in parts:
        here, j = np.nonzero((k[:, None] == m.user) & (of[:, None] == m.group) & rides)
        whose = np.where(m.taken[stages] >= at["m"], m.taken[stages] - at["m"], m.taken[stages] - at["u"])
        there, n = np.nonzero(of[:, None] == m.trunk_group[whose])
        scale = 1.0 if begin == 0 else 2.0
        entries += [
            _ones(begin + np.arange(count), at["r"] + k), (begin + row, at["u"] + q, -fixed),
            _ones(begin + there, at["t"] + stages[n], -1.0), _ones(begin + here, j, -scale),
        ]  # fmt: skip
    return at_least(_rows(m, entries, 2 * count), np.repeat([-1.0, -2.0], count))


def latency(m: Model) -> Rows:
    """v_k >= Σ (F y + t) + r_k."""
    k, own = np.arange(m.problem.users), np.flatnonzero(m.taken < m.at["u"])
    entries = [
        _ones(k, m.at["v"] + k), (m.user, np.arange(m.user.size), -m.fixed), _ones(k, m.at["r"] + k, -1.0),
        _ones(m.user[m.taken[own]], m.at["t"] + own, -1.0),
    ]  # fmt: skip
    return at_least(_rows(m, entries, k.size), 0.0)


def largest(m: Model) -> Rows:
    """h >= w_k v_k."""
    k = np.arange(m.problem.users)
    entries = [_ones(k, np.full(k.size, m.at["h"])), (k, m.at["v"] + k, -m.problem.weights)]
    return at_least(_rows(m, entries, k.size), 0.0)


def program(m: Model, clock: Clock) -> Program:
    """Columns and rows, with the first tangents."""
    at, p = m.at, m.problem
    cost, lower, upper = np.zeros(at["end"]), np.zeros(at["end"]), np.full(at["end"], np.inf)
    upper[: at["x"]] = 1.0
    upper[at["u"] : at["m"]] = p.open_trunks[m.trunk]
    upper[at["m"] : at["x"]] = p.open_multicasts[m.trunk]
    upper[at["f"] : at["r"]] = 1.0 if p.reserve == "phased" else 0.0
    if p.objective == "sum":
        cost[at["v"] : at["h"]] = p.weights
    else:
        cost[at["h"]] = 1.0
    milp = Program(cost, lower, upper, np.arange(at["end"]) < at["m"], clock)
    rows = [one_option(m), one_trunk(m), beside(m), ridden(m), cast(m), budget(m), inside(m), share_limit(m)]
    if m.forms:
        rows += formed(p, m.user, m.group, m.trunk, m.trunk_group, at)
    for one in (*rows, waited(m), latency(m), *([largest(m)] if p.objective == "max" else [])):
        milp.add(one)
    for n in range(_POINTS):
        milp.add(stage_time(m, np.arange(m.a.size), np.maximum(m.H / 2.0**n, m.least)))
    return milp


def _read(m: Model, v: Array) -> tuple[SimpleNamespace, Ints]:
    """The decisions at a point, and the stages that were taken."""
    p, at, k = m.problem, m.at, np.arange(m.problem.users)
    pair = np.zeros(p.users, dtype=np.int64)
    order = np.argsort(v[: at["u"]], kind="stable")
    pair[m.user[order]] = order
    option, group = m.option[pair], m.group[pair]
    trunk = np.full(m.groups, -1)
    q = np.flatnonzero(v[at["u"] : at["m"]] > 0.5)
    trunk[m.trunk_group[q]] = m.trunk[q]
    whole = np.zeros(at["x"])
    whole[pair] = whole[at["u"] + q] = 1.0
    casts = group[p.rides[k, option] == 2]
    whole[at["m"] + q] = np.isin(m.trunk_group[q], casts)
    s = np.flatnonzero(whole[m.taken])
    x = np.clip(v[at["x"] + s], np.maximum(m.least[s], 1e-9 * m.H[s]), m.H[s])
    own, shared = np.zeros((3, p.users)), np.zeros((3, m.groups))
    mine = m.taken[s] < at["u"]
    own[m.resource[s[mine]], m.user[m.taken[s[mine]]]] = x[mine]
    of = m.taken[s[~mine]]
    shared[m.resource[s[~mine]], m.trunk_group[np.where(of >= at["m"], of - at["m"], of - at["u"])]] = x[~mine]
    within = np.zeros(p.users, bool)
    if p.reserve == "phased":
        within = p.rides[k, option] > 0
        together = np.bincount(group[within], own[EDGE, within], m.groups)
        shared[EDGE] = np.maximum(shared[EDGE], together)
    drawn = own.copy()
    drawn[EDGE, within] = 0.0
    total = np.maximum(drawn.sum(axis=1) + shared.sum(axis=1), 1.0)[:, None]
    own, shared = own / total, shared / total
    kept = np.arange(m.groups)
    if m.forms:  # those that were formed, numbered anew
        kept = np.flatnonzero(trunk >= 0)
        group = np.where(np.isin(group, kept), np.searchsorted(kept, group), -1)
    shared = shared[:, kept]
    return SimpleNamespace(
        option=option, trunk=trunk[kept], uplink_hz=own[UPLINK] * p.uplink_hz,
        edge_share=own[EDGE] * p.edge_capacity, downlink_hz=own[DOWNLINK] * p.downlink_hz,
        trunk_uplink_hz=shared[UPLINK] * p.uplink_hz, trunk_edge_share=shared[EDGE] * p.edge_capacity,
        multicast_hz=shared[DOWNLINK] * p.downlink_hz, **({"group": group} if m.forms else {}),
    ), s  # fmt: skip


def solve(problem: SharedPrefixProblem, *, gap: float, time_limit_s: float | None) -> RawPrefix:
    """Optimal trunks, options and shares of a few users.

    Parameters
    ----------
    problem : SharedPrefixProblem
        Few users where groups are formed: each pair stands in it once for each user who may be a group's first.
    gap : float
        Asked relative gap [1]; at least 1e-8 is left open.
    time_limit_s : float or None
        Limit [s]; the best answer and the bound by then are returned.

    Raises
    ------
    InvalidInput
        For another class of problem.
    Infeasible
        Where options, trunks and limits on airtime do not go together.
    SolverFailure
        Where HiGHS fails, or finds no point in time.
    """
    if not isinstance(problem, SharedPrefixProblem):
        raise InvalidInput("problem", type(problem).__name__, "a SharedPrefixProblem", "Build one of them first.")
    clock = Clock(time_limit_s)
    m = make_model(problem)
    milp = program(m, clock)

    def finer(v: Array, s: Ints) -> Iterator[Rows]:
        yield stage_time(m, s, np.clip(v[m.at["x"] + s], np.maximum(m.least, 1e-6 * m.H)[s], m.H[s]))

    def infeasible() -> Infeasible:
        if problem.trunk_uplink_airtime_max_s is not None:
            return airtime_too_short(problem)
        return Infeasible("options and trunks do not go together")

    found = refined(
        problem, milp, clock, unit=m.unit, gap=gap, rounds=_ROUNDS, read=partial(_read, m), finer=finer,
        infeasible=infeasible,
    )  # fmt: skip
    return RawPrefix(**found.fields)
