"""What a plan is compared with: single mechanisms, single edges, equal shares, and the next-best choices.

A baseline of one mechanism gives every user who can run it that mechanism, with its best cut and precision and optimal
shares, and waives the users' own limits (so it is a stronger rival than one that keeps them); the users whose limits
it breaks are named. The limits of a shared resource always hold. Where there are several edge servers, a baseline of
one leaves that alone to the users, beside their own devices: what the other edges add shows against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict, Infeasible
from megdt_opt.planning.claims import read_fields
from megdt_opt.planning.cost_totals import cost_totals
from megdt_opt.planning.groups import GROUP_SHARES
from megdt_opt.planning.in_batches import (
    COMMON,
    all_at_once,
    closed_options,
    common_batch,
    cuts_of,
    only,
    restricted,
    single_mechanisms,
    solved_in_batches,
)
from megdt_opt.planning.in_turns import first_come
from megdt_opt.planning.user_plan import decisions
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.conflicts import nothing_open
from megdt_opt.problem.outcome import Status
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.program.groups import GROUP_MECHANISMS
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.problems import OfOptions, Problem
from megdt_opt.solving import solve
from megdt_opt.solving.allocation import Allocation
from megdt_opt.solving.conflict import no_option
from megdt_opt.solving.placement import Placement
from megdt_opt.solving.program import Program
from megdt_opt.solving.shared_prefix import SharedPrefix
from megdt_opt.solving.turns.answer import SequencedEdge

RESERVED_SHARES = "reserved shares"
"""Name of the baseline in which an edge that serves in turns reserves shares instead, with the options of that."""

EQUAL_SHARES = "plan's options, equal shares"
"""Name of the baseline in which the users of a resource divide it equally; turns are in the order of arrival."""

Solved = Allocation | Placement | SharedPrefix | Program | SequencedEdge
"""What `solve` makes of the problems of scenarios."""

ONLY = "only "
"""What the baseline of a single edge is called, before the edge's name."""

UNSHARED = "nothing shared"
"""Name of the baseline in which users of groups generate each on its own."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """One rival of a plan.

    Parameters
    ----------
    name : str
        For example "all centralised" or "plan's options, equal shares".
    options : tuple of str
        Option of each user.
    downlink_hz, uplink_hz, edge_share : tuple of float
        Shares of each user [Hz, Hz, 1].
    latency_s : tuple of float
        Predicted latency of each user [s].
    objective_s : float
        Objective of the scenario [s], for "missed" a weight [1].
    proven : bool
        Whether it is a proven optimum of its kind.
    breaks : tuple of str
        Users whose limits it breaks, and costs whose limits it breaks.
    instead : tuple of str
        Users who cannot run the mechanism, or be served by the edge, at all and take their best other option.
    mechanism : str
        The mechanism of a single one; "" for a single edge or a rule.
    part : tuple of tuple of float
        Parts of the users' shares that the tasks of their programs get [1]; empty where all programs are chains beside
        one device branch.
    trunk : tuple of int
        Which trunk each group runs, -1 for none; empty where there are no groups.
    trunk_uplink_hz, trunk_edge_share, multicast_hz : tuple of float
        Shares of the groups' common steps [Hz, 1, Hz].
    order : tuple of int
        Users in the order of their turns, where the edge serves in turns; empty where it reserves shares.
    start_s : tuple of float
        Start of each of these turns [s].
    batches : tuple of tuple of int
        Users of each batch, where the edge makes steps of several chains in one pass; empty where it does not.
    """

    name: str
    options: tuple[str, ...]
    downlink_hz: tuple[float, ...]
    uplink_hz: tuple[float, ...]
    edge_share: tuple[float, ...]
    latency_s: tuple[float, ...]
    objective_s: float
    proven: bool
    breaks: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    mechanism: str = ""
    part: tuple[tuple[float, ...], ...] = ()
    trunk: tuple[int, ...] = ()
    trunk_uplink_hz: tuple[float, ...] = ()
    trunk_edge_share: tuple[float, ...] = ()
    multicast_hz: tuple[float, ...] = ()
    order: tuple[int, ...] = ()
    start_s: tuple[float, ...] = ()
    batches: tuple[tuple[int, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back; parts, trunks and turns where there are any."""
        return {name: value for name, value in asdict(self).items() if name not in _WHERE_THERE_ARE or value}

    @classmethod
    def from_dict(cls, data: object, where: str = "baseline") -> Baseline:
        """Build from plain data; raises InvalidInput where a field is missing, unknown or of another kind."""
        none: dict[str, Any] = {name: [] for name in _WHERE_THERE_ARE}
        return cls(**read_fields(cls, {**none, **data} if isinstance(data, dict) else data, where))


_WHERE_THERE_ARE = ("part", "trunk", *GROUP_SHARES, "order", "start_s", "batches")


def baselines(
    table: OptionTable, option: NDArray[np.int64], *, gap: float = 1e-6, time_limit_s: float | None = None
) -> tuple[Baseline, ...]:
    """All single mechanisms and edges, best first, then the plan's options with equal shares; of groups, what is best
    where each generates on its own, and of an edge in turns, before the last, the best with reserved shares.

    Parameters
    ----------
    table : OptionTable
    option : array of int, (K,)
        The plan's options.
    gap, time_limit_s
        As for `solve` [1, s].

    Returns
    -------
    tuple of Baseline
        None where latencies hold at a level, for these have median times.
    """
    if table.scenario.holds is not None:
        return ()
    singles = []
    names = [user.name for user in table.scenario.users]
    alone = table if table.shared is None else table.unshared()
    for title, mechanism, single, able in _singles(alone):
        if _missing(single) is not None:
            continue
        try:
            found = solve(single, gap=gap, time_limit_s=time_limit_s)
        except Infeasible:  # what all need there does not fit the memories together
            continue
        instead = tuple(name for name, can in zip(names, able, strict=True) if not can)
        rival = _baseline(alone, title, found, single, waived=True)
        singles.append(replace(rival, instead=instead, mechanism=mechanism))
    if isinstance(table.waived_problem(), BatchedEdgeProblem):
        singles += _in_batches(table, gap, time_limit_s)
    singles.sort(key=lambda b: b.objective_s)
    if table.serving is not None:
        singles += reserved_shares(table, gap=gap, time_limit_s=time_limit_s)
    if table.shared is None:
        return (*singles, equal_shares(table, option))
    return (*singles, *unshared(table, gap=gap, time_limit_s=time_limit_s))


def _in_batches(table: OptionTable, gap: float, time_limit_s: float | None) -> Iterator[Baseline]:
    """Single mechanisms of an edge that makes batches, and all whom it serves in one batch."""
    waived, kept = table.waived_problem(), table.problem()
    assert isinstance(kept, BatchedEdgeProblem)
    for mechanism, found, able in single_mechanisms(table, gap, time_limit_s):
        rival = _baseline(table, f"all {mechanism}", found, waived, waived=True)
        instead = tuple(u.name for u, can in zip(table.scenario.users, able, strict=True) if not can)
        yield replace(rival, instead=instead, mechanism=mechanism)
    common = common_batch(table, kept)
    if common is not None:
        yield _baseline(table, COMMON, common, kept)


def reserved_shares(
    table: OptionTable, *, gap: float = 1e-6, time_limit_s: float | None = None
) -> tuple[Baseline, ...]:
    """The best that the users of an edge in turns have where it reserves shares; none where that cannot be."""
    return _best_of(table.reserved(), RESERVED_SHARES, gap, time_limit_s)


def _best_of(table: OptionTable, name: str, gap: float, time_limit_s: float | None) -> tuple[Baseline, ...]:
    try:
        problem = table.problem()
        return (_baseline(table, name, solve(problem, gap=gap, time_limit_s=time_limit_s), problem),)
    except Infeasible:
        return ()


def unshared(table: OptionTable, *, gap: float = 1e-6, time_limit_s: float | None = None) -> tuple[Baseline, ...]:
    """The best that users of groups have where each generates on its own; none where that cannot be."""
    return _best_of(table.unshared(), UNSHARED, gap, time_limit_s)


def missing(table: OptionTable) -> dict[str, str]:
    """Single mechanisms that cannot be had, by the names of their baselines, and why: a link or the edge is not there.

    Returns
    -------
    dict of str to str
        The reason names the users and what they lack.
    """
    names = [user.name for user in table.scenario.users]
    found = {
        title: _missing(single) for title, _, single, _ in _singles(table if table.shared is None else table.unshared())
    }
    return {name: str(error.with_names(names)) for name, error in found.items() if error is not None}


def _singles(table: OptionTable) -> Iterator[tuple[str, str, Problem, NDArray[np.bool_]]]:
    """Each single mechanism and, where there are several, each single edge: what the baseline is called, its mechanism,
    the problem that leaves it alone to those who can have it, and who can, (K,).
    """
    waived = table.waived_problem()
    if isinstance(waived, BatchedEdgeProblem):  # which knows cuts, no options: `_in_batches`
        return
    # of several edges what fits the memories, which belong to all users
    possible = waived.open_options if isinstance(waived, PlacementProblem) else waived.allowed_mask
    offered: list[tuple[str, str, list[bool]]] = [
        (f"all {mechanism}", mechanism, [option.mechanism == mechanism for option in table.options])
        for mechanism in dict.fromkeys(option.mechanism for option in table.options)
    ]
    if len(table.sites) > 1:
        names = [str(site.name) for site in table.sites]
        offered += [(f"{ONLY}{name}", "", [option.edge in ("", name) for option in table.options]) for name in names]
    for title, mechanism, among in offered:
        mask = possible & np.array(among)
        able = mask.any(axis=1)
        if 2 * able.sum() > len(able):  # a set in which most users run something else is no single mechanism
            # who cannot run it at all (no sensor, the picture is wanted elsewhere) keeps every option
            mask[~able] = possible[~able]
            yield title, mechanism, replace(waived, allowed=mask), able


def _missing(problem: Problem) -> Infeasible | None:
    """Why a user has no option, if one has none; at several edges options in no reach are not allowed to begin with."""
    if isinstance(problem, PlacementProblem | SharedPrefixProblem | SequencedEdgeProblem | BatchedEdgeProblem):
        return None
    if isinstance(problem, ProgramProblem):
        return None if problem.open_options.any(axis=1).all() else nothing_open(problem)
    resources = Resources.of(problem)
    return None if resources.open.any(axis=1).all() else no_option(problem, resources)


def solve_restricted(
    problem: OfOptions,
    allowed: NDArray[np.bool_],
    *,
    gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> Solved:
    """Solve with fewer allowed options, (K, O); raises Infeasible where a user has none left."""
    if not allowed.any(axis=1).all():
        users = [int(k) for k in np.flatnonzero(~allowed.any(axis=1))]
        raise Infeasible("no option is left", [Conflict(k, "open options", 0.0, "") for k in users])
    return solve(replace(problem, allowed=allowed), gap=gap, time_limit_s=time_limit_s)


def fixed(problem: OfOptions, option: NDArray[np.int64]) -> Solved:
    """Best shares for given options, (K,)."""
    allowed = np.zeros((problem.users, problem.options), dtype=bool)
    allowed[np.arange(problem.users), option] = True
    return solve_restricted(problem, allowed)


def equal_shares(table: OptionTable, option: NDArray[np.int64]) -> Baseline:
    """The given options, each resource split equally among the users that demand it; turns in the order of arrival."""
    problem = table.waived_problem()
    if isinstance(problem, SequencedEdgeProblem):
        kept = table.problem()  # with the plan's parts of the uplink
        assert isinstance(kept, SequencedEdgeProblem)
        return _baseline(table, EQUAL_SHARES, first_come(kept, option), kept)
    if isinstance(problem, BatchedEdgeProblem):
        whole = table.problem()
        assert isinstance(whole, BatchedEdgeProblem)
        return _baseline(table, EQUAL_SHARES, all_at_once(table, whole, option), whole)
    rows = np.arange(problem.users)
    server = np.zeros(problem.users, dtype=np.int64)
    if isinstance(problem, PlacementProblem):
        server = problem.option_server[rows, option]

    def split(demand: NDArray[Any], budget: Any, most: float = np.inf) -> NDArray[np.float64]:
        needs = (demand[rows, option] > 0) & (server != NO_SERVER)
        sharing = np.bincount(server[needs], minlength=np.size(budget))
        each = np.minimum(np.atleast_1d(budget) / np.maximum(sharing, 1), most)
        return np.where(needs, each[server], 0.0)

    if isinstance(problem, ProgramProblem):
        demands = tuple(problem.demands)
    else:
        demands = (problem.downlink_bit, problem.uplink_bit, problem.edge_work_s)
    down = split(demands[0], problem.downlink_hz)
    up = split(demands[1], problem.uplink_hz)
    edge = split(demands[2], problem.edge_capacity, 1.0)
    shares = {"downlink_hz": down, "uplink_hz": up, "edge_share": edge}
    part = problem.even_parts(option) if isinstance(problem, ProgramProblem) else None
    placed = problem.needed(option) if isinstance(problem, PlacementProblem) else None
    found = problem.evaluate(SimpleNamespace(option=option, **shares, part=part, placed=placed))
    return Baseline(
        name=EQUAL_SHARES,
        options=tuple(table.options[int(o)].name for o in option),
        downlink_hz=_plain(down),
        uplink_hz=_plain(up),
        edge_share=_plain(edge),
        latency_s=_plain(found.latency_s),
        objective_s=found.objective_s,
        proven=False,
        breaks=(),
        part=_rows_of(part),
    )


def next_best(
    table: OptionTable, option: NDArray[np.int64], *, count: int = 2, gap: float = 1e-6
) -> tuple[Baseline, ...]:
    """The best option sets that differ from the plan's in at least one user's mechanism, cut or edge server.

    Each user in turn is forbidden its chosen mechanism and cut there (in any precision), and each group its number of
    common steps, then all is solved again; the best results of these solutions are the runners-up.
    """
    problem = table.problem()
    rivals: dict[tuple[int, ...], Any] = {}
    for allowed in _forbidding(table, problem, option):
        try:
            if isinstance(problem, BatchedEdgeProblem):
                found: Any = restricted(table, problem, closed_options(table, ~allowed), gap=gap)
            else:
                found = solve_restricted(problem, allowed, gap=gap)
        except Infeasible:
            continue
        rivals.setdefault(tuple(int(o) for o in found.option), found)
    best = sorted(rivals.values(), key=lambda a: a.objective_s)[:count]
    return tuple(_baseline(table, f"runner-up {i}", found, problem) for i, found in enumerate(best, 1))


def _forbidding(table: OptionTable, problem: Problem, option: NDArray[np.int64]) -> Iterator[NDArray[np.bool_]]:
    """What is left, (K, O), without a user's choice, for each user, and without a group's common steps."""
    chosen = [table.options[int(o)] for o in option]
    for k, own in enumerate(chosen):
        allowed = _options_of(table, problem)
        allowed[k] &= ~np.array([own.alike(other) for other in table.options])
        yield allowed
    for g in range(0 if table.shared is None else len(table.shared.groups)):
        assert table.shared is not None
        members = list(table.shared.members(g))
        cuts = {chosen[k].cut for k in members if chosen[k].mechanism in GROUP_MECHANISMS}
        common = np.array([o.mechanism in GROUP_MECHANISMS and o.cut in cuts for o in table.options])
        if common.any():
            allowed = _options_of(table, problem)
            allowed[members] &= ~common
            yield allowed


def _options_of(table: OptionTable, problem: Problem) -> NDArray[np.bool_]:
    """Options that a problem allows, (K, O)."""
    return np.array(table.allowed if isinstance(problem, BatchedEdgeProblem) else problem.allowed_mask)


def answer(table: OptionTable, problem: Problem, *, gap: float, time_limit_s: float | None) -> Any:
    """The best answer of a problem, with its options."""
    if isinstance(problem, BatchedEdgeProblem):
        return solved_in_batches(table, problem, "auto", gap, time_limit_s)
    return solve(problem, gap=gap, time_limit_s=time_limit_s)


def kept_options(table: OptionTable, problem: Problem, option: NDArray[np.int64]) -> Any:
    """The best answer with given options, (K,); raises Infeasible where they are not allowed, or cannot be kept."""
    if not _options_of(table, problem)[np.arange(len(option)), option].all():
        raise Infeasible("an option of the plan is closed", [])
    if isinstance(problem, BatchedEdgeProblem):
        return restricted(table, problem, only(problem, cuts_of(table, option)))
    return fixed(problem, option)


def _baseline(table: OptionTable, name: str, found: Any, problem: Problem, *, waived: bool = False) -> Baseline:
    made = decisions(table, problem, found, waived=waived)
    order = tuple(int(k) for k in getattr(found, "order", ()))
    return Baseline(
        name=name,
        options=tuple(table.options[int(o)].name for o in found.option),
        downlink_hz=_plain(made.downlink_hz),
        uplink_hz=_plain(made.uplink_hz),
        edge_share=_plain(made.edge_share),
        order=order,
        batches=tuple(tuple(batch) for batch in getattr(found, "batches", ())),
        start_s=tuple(float(found.start_s[k]) for k in order),
        latency_s=_plain(found.latency_s),
        objective_s=found.objective_s,
        proven=found.status is Status.OPTIMAL,
        breaks=tuple(_broken(table, found)),
        part=_rows_of(getattr(found, "part", None)),
        trunk=tuple(int(q) for q in getattr(found, "trunk", ())),
        trunk_uplink_hz=_plain(getattr(found, "trunk_uplink_hz", ())),
        trunk_edge_share=_plain(getattr(found, "trunk_edge_share", ())),
        multicast_hz=_plain(getattr(found, "multicast_hz", ())),
    )


def _broken(table: OptionTable, found: Any) -> Iterator[str]:
    for k, user in enumerate(table.scenario.users):
        limit_s = user.deadline_s if table.scenario.objective_is_time else None
        late = limit_s is not None and found.latency_s[k] > limit_s * (1 + 1e-9)
        if late or table.closed_by(k, int(found.option[k])):
            yield user.name
    for cost in cost_totals(table, [table.options[int(o)].name for o in found.option]):
        if cost.most is not None and cost.total > cost.most * (1 + 1e-9):
            yield cost.name


def _rows_of(part: NDArray[np.float64] | None) -> tuple[tuple[float, ...], ...]:
    return () if part is None else tuple(_plain(row) for row in part)


def _plain(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
