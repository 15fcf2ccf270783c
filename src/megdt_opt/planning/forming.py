"""Groups that a plan forms: one problem of all who may share, then the scenario with the groups that it forms.

For every user who may lead there is the problem of the group of all who are similar enough to it. These are put side
by side: the trunks of all leads, each for groups of which its lead is a member, and two columns for each option of a
group, one for members and one for the lead, who has sent its request already.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.models.similarity import similarities
from megdt_opt.pricing.group_sets import cliques
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.program.groups import GROUP_MECHANISMS
from megdt_opt.program.option import Option
from megdt_opt.scenario.groups import Group
from megdt_opt.scenario.options import OptionTable
from megdt_opt.solving import solve

FORMING_GAP = 1e-3
"""Relative gap to which groups are formed, where no wider one is asked; the plan of what is formed is as near as is
asked [1]."""

_TABLES = ("fixed_s", "uplink_bit", "edge_work_s", "downlink_bit", "rides")
_TRUNKS = ("trunk_fixed_s", "trunk_uplink_bit", "trunk_edge_work_s", "multicast_bit", "trunk_edge_share_max")
_LAWS = ("trunk_uplink_efficiency", "trunk_uplink_snr_hz", "multicast_efficiency", "multicast_snr_hz")
_SAME = (
    "downlink_hz", "uplink_hz", "edge_capacity", "reserve", "weight", "edge_share_max", "objective",
    "downlink_efficiency", "uplink_efficiency", "downlink_snr_hz", "uplink_snr_hz",
)  # fmt: skip


@dataclass(frozen=True)
class Formed:
    """What was formed.

    Parameters
    ----------
    table : OptionTable
        Of the scenario with these groups; without any where nobody shares.
    words : str
        What is proven of them.
    """

    table: OptionTable
    words: str


def formed(table: OptionTable, *, gap: float, time_limit_s: float | None) -> Formed:
    """Form the groups of a scenario that leaves them open.

    Raises
    ------
    Infeasible
        Where limits conflict.
    InvalidInput
        Where there are too many groups to choose from.
    """
    grouping = table.scenario.grouping
    assert grouping is not None
    alike = similarities([user.subject for user in table.scenario.users], table.scenario.model)
    limits = f"at most {grouping.size_max} users with a similarity of at least {grouping.similarity_min:g}"
    try:
        cliques(alike, grouping.similarity_min, grouping.size_max)  # before any table is made
        leads = _of_leads(table, alike >= grouping.similarity_min)
        if not leads:
            return Formed(table.unshared(), f"No two users may share steps, in groups of {limits}.")
        problem = forming_problem(leads, alike, grouping.similarity_min, grouping.size_max)
        found = solve(problem, gap=max(gap, FORMING_GAP), time_limit_s=time_limit_s)
    except InvalidInput as error:
        if error.field not in ("group_size_max", "compatible"):
            raise
        remedy = "Lower it, raise similarity_min, or offer fewer steps."
        raise InvalidInput("grouping.size_max", grouping.size_max, error.expected, remedy) from None
    names = [user.name for user in table.scenario.users]
    groups = []
    for g, q in enumerate(found.trunk.tolist()):
        assert problem.trunk_lead is not None
        lead = int(problem.trunk_lead[q])
        shared = leads[lead].shared
        assert shared is not None
        steps = shared.steps[0]
        members = tuple(names[k] for k in np.flatnonzero(found.group == g))
        groups.append(
            Group(members=members, lead=names[lead], reserve=grouping.reserve, psnr_min_db=grouping.psnr_min_db,
                  steps=steps)
        )  # fmt: skip
    bound = f"no groups of {limits} come to less than {at_least(found.lower_bound_s)}"
    if not groups:
        return Formed(table.unshared(), f"Nobody shares steps: {bound} (proven).")
    words = f"{len(groups)} groups were formed: {bound} (proven), parallel generation left out."
    return Formed(_with(table, tuple(groups)), words.replace("1 groups were", "1 group was"))


def at_least(seconds: float) -> str:
    """A lower bound in words, rounded down."""
    return f"{math.floor(seconds * 1e4) / 1e4:.4f} s"


def _with(table: OptionTable, groups: tuple[Group, ...]) -> OptionTable:
    scenario = table.scenario.model_copy(update={"groups": groups, "grouping": None})
    return OptionTable.build(scenario, table.profiles, spec=table.spec)


def _of_leads(table: OptionTable, near: NDArray[np.bool_]) -> dict[int, OptionTable]:
    """For each user who can lead, the table of the group of all who are similar enough to it."""
    users, grouping = table.scenario.users, table.scenario.grouping
    assert grouping is not None
    found = {}
    for lead, user in enumerate(users):
        members = tuple(other.name for k, other in enumerate(users) if near[lead, k] or k == lead)
        if len(members) > 1:
            group = Group(members=members, lead=user.name, reserve=grouping.reserve, steps=grouping.steps,
                          psnr_min_db=grouping.psnr_min_db)  # fmt: skip
            made = _with(table, (group,))
            if made.shared is not None and made.shared.trunks:
                found[lead] = made
    return found


def forming_problem(
    leads: dict[int, OptionTable], alike: NDArray[np.float64], similarity_min: float, size_max: int
) -> SharedPrefixProblem:
    """The problems of the groups of single leads, side by side.

    Parameters
    ----------
    leads : dict of int to OptionTable
        By user who leads.
    alike : array, (K, K)
        Similarity of the users [1].
    similarity_min : float
        Least similarity of a group's users [1].
    size_max : int
        Most users of a group [1].
    """
    parts = {lead: _problem(table) for lead, table in leads.items()}
    first = next(iter(leads))
    users = len(alike)
    columns: dict[tuple[Option, bool], int] = {}
    for table in leads.values():
        for option in table.options:
            for leading in (False, True) if option.mechanism in GROUP_MECHANISMS else (False,):
                columns.setdefault((option, leading), len(columns))
    tables: dict[str, Any] = {name: np.zeros((users, len(columns))) for name in _TABLES}
    tables["rides"] = np.zeros((users, len(columns)), np.int64)
    allowed = np.zeros((users, len(columns)), bool)
    compatible = []
    for lead, table in leads.items():
        part = parts[lead]
        beside = np.zeros((users, len(columns), part.trunks), bool)
        for o, option in enumerate(table.options):
            for k in range(users):
                shares = option.mechanism in GROUP_MECHANISMS
                c = columns[option, shares and k == lead]
                is_open = bool(part.allowed_mask[k, o])
                if is_open and not allowed[k, c]:
                    allowed[k, c] = True
                    for name in _TABLES:
                        tables[name][k, c] = getattr(part, name)[k, o]
                beside[k, c] = part.compatible[k, o] & is_open
        compatible.append(beside)
    every = list(parts.values())
    limits = [_airtime_s(part) for part in every]
    own: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in every]) for name in _TRUNKS}
    laws = {name: _joined([getattr(part, name) for part in every]) for name in _LAWS}
    return SharedPrefixProblem(
        **tables, **own, **laws, **{name: getattr(parts[first], name) for name in _SAME},
        compatible=np.concatenate(compatible, axis=2), allowed=allowed,
        trunk_lead=np.concatenate([np.full(part.trunks, lead) for lead, part in parts.items()]),
        trunk_uplink_airtime_max_s=np.concatenate(limits) if np.isfinite(np.concatenate(limits)).any() else None,
        similarity=alike, similarity_min=similarity_min, group_size_max=size_max,
    )  # fmt: skip


def _problem(table: OptionTable) -> SharedPrefixProblem:
    problem = table.problem()
    assert isinstance(problem, SharedPrefixProblem)
    return problem


def _joined(laws: list[Any]) -> Any:
    return None if any(law is None for law in laws) else np.concatenate(laws)


def _airtime_s(part: Any) -> NDArray[np.float64]:
    given = part.trunk_uplink_airtime_max_s
    return np.full(part.trunks, np.inf) if given is None else np.asarray(given)
