"""Why a problem has no allocation, and the smallest change of each limit that alone would give it one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.checks import LARGEST, NO_AIRTIME_LIMIT_S, NO_DEADLINE_S
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.problem.region import require
from megdt_opt.solving.conflict import lateness, no_option, not_together
from megdt_opt.units import show
from megdt_opt.whatif.feasible import PRECISION, OutOfTime, answer, smallest
from megdt_opt.whatif.names import UNNAMED, Names
from megdt_opt.whatif.said import Said
from megdt_opt.whatif.server_limits import FIELDS, conflict, enough, stretch
from megdt_opt.whatif.shares_at import with_field

_LARGEST = 2.0**20
"""Factor up to which a limit is loosened: what does not help by then does not help."""

_SINGLES = 8
"""Users of a conflict whose deadlines are tried one by one."""

_BUDGETS = {"downlink_hz": "Hz", "uplink_hz": "Hz", "edge_capacity": "servers"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change that alone gives the problem an allocation.

    Parameters
    ----------
    field : str
        Field of the problem.
    users : tuple of int
        Users whose entries change; empty for a shared budget.
    now, needed : float
        Value as it is and the smallest value that helps, in `unit`; for several entries 1 and a factor.
    unit : str
        "s", "Hz", "servers", "B", or "times" for a factor on all entries named.
    proven : bool
        Whether it is proven that `needed` less a thousandth is not enough.
    options : tuple of int
        For the field "allowed": the option that each of `users` would take.
    longest_s : tuple of float
        For a factor on deadlines: the entry that grows the most, before and after [s].
    server : int or None
        Edge server whose entry changes, of several.
    names : Names
        What users and options are called in words.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, explain
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max", deadline_s=[1.0, 0.9],
    ... )
    >>> for change in explain(problem).changes:
    ...     print(change.field, change.unit, change.now < change.needed)
    deadline_s times True
    """

    field: str
    users: tuple[int, ...] = ()
    now: float
    needed: float
    unit: str
    proven: bool = True
    options: tuple[int, ...] = ()
    longest_s: tuple[float, ...] = ()
    server: int | None = None
    names: Names = UNNAMED

    def __str__(self) -> str:
        if self.field == "allowed":
            pairs = zip(self.users, self.options, strict=True)
            return (
                "allow "
                + ", ".join(f"{self.names.option(o)} for {self.names.user(k)}" for k, o in pairs)
                + " (for example)"
            )
        name = {
            "downlink_hz": "downlink band",
            "uplink_hz": "uplink band",
            "edge_capacity": "edge servers",
            "deadline_s": "deadline",
            "edge_share_max": "edge share caps",
            "uplink_airtime_max_s": "uplink airtime limits",
            "memory_byte": "memory",
        }[self.field] + ("" if self.server is None else f" of {self.names.edge(self.server)}")
        mark = "" if self.proven else " (enough; whether less is, was not settled)"
        if self.unit == "times":
            text = f"all {name}{'s' if self.field == 'deadline_s' else ''} {_up(self.needed):g} times as long"
            if self.field == "edge_share_max":
                text = f"all {name} {_up(self.needed):g} times as large"
            if self.longest_s:
                text += f" (the longest from {show(self.longest_s[0], 's')} to {_shown(self.longest_s[1], 's')})"
            return text + mark
        if self.field == "deadline_s":
            who = f"{self.names.user(self.users[0])}: "
            extra = _shown(self.needed - self.now, "s")
            return f"{who}{name} {_shown(self.needed, 's')} in place of {show(self.now, 's', 4)} ({extra} longer){mark}"
        if self.needed == 0:
            return f"{name}: any {name} above 0{mark}"
        if self.unit == "servers":
            return f"{name}: {_up(self.needed):g} in place of {self.now:g}{mark}"
        return f"{name}: {_shown(self.needed, self.unit)} in place of {show(self.now, self.unit, 4)}{mark}"


@dataclass(frozen=True, kw_only=True, repr=False)
class Explanation(Said):
    """Whether a problem has an allocation, and if not, why.

    Parameters
    ----------
    feasible : bool
        Whether it has one.
    reason : str
        In words: who conflicts over what, or that there is no conflict.
    users : tuple of int
        Users in conflict: with any one of them less, the others can keep their limits. Or users without an option.
    limits : tuple of str
        Their limits, with values and units.
    changes : tuple of Change
        Changes of one limit that alone would help. What is not listed does not help, even a million times as large.
    stretch : float or None
        Least factor on all deadlines that keeps them: at most 1 where they can be kept; None without deadlines or
        where no factor helps.
    untried : tuple of str
        Fields that were not tried because the time was over.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, explain
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> explain(problem).feasible
    True
    """

    feasible: bool
    reason: str
    users: tuple[int, ...] = ()
    limits: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    stretch: float | None = None
    untried: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [self.reason]
        if not self.feasible:
            if self.changes:
                lines.append("Each of these changes alone would help:")
                lines += [f"  - {change}" for change in self.changes]
            elif not self.untried:
                lines.append("No change of a single limit helps, not even a million times as much.")
            if self.untried:
                lines.append("Not tried, for the time was over: " + ", ".join(self.untried))
        return "\n".join(lines)


def explain(
    problem: AllocationProblem | PlacementProblem, *, time_limit_s: float = 60.0, names: Names = UNNAMED
) -> Explanation:
    """Say whether a problem has an allocation; if not, who is in conflict, over what, and what would help.

    Changes are tried one limit at a time: all deadlines by a common factor, the deadline of each user in conflict,
    each budget, the caps on edge shares, the airtime limits, and the options that `allowed` forbids to the users in
    conflict. Each is the smallest that helps, to one thousandth, and each was checked to help. At several edge servers
    these are all deadlines by a common factor, and each budget and memory of each server.

    Parameters
    ----------
    problem : AllocationProblem or PlacementProblem
    time_limit_s : float
        For the changes [s]; what was not tried by then is named. Naming the users in conflict is not limited.
    names : Names
        What users and options are called in words.

    Returns
    -------
    Explanation
        Whether there is an allocation; if not, the conflict and the smallest single changes that resolve it.

    Raises
    ------
    InvalidInput
        For a time limit that is not above 0.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, explain
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max", deadline_s=[1.0, 0.9],
    ... )
    >>> found = explain(problem)
    >>> found.feasible, found.users
    (False, (0,))
    """
    until = time.monotonic() + time_limit_s
    if isinstance(problem, PlacementProblem):
        return _at_servers(problem, until, names)
    require(problem, "an explanation", "Give the problem of a scenario without groups and without costs.")
    resources = Resources.of(problem)
    users = list(range(problem.users))
    limited = bool(np.isfinite(problem.hard_deadline_s).any())
    if not resources.open.any(axis=1).all():
        error = no_option(problem, resources)
    else:
        late = lateness(problem, users)[0] if limited else None
        if late is not None and late <= 1.0:
            reason = f"It is feasible: the deadlines can be kept, even if all were {_up(late):g} times as long."
            return Explanation(feasible=True, reason=reason, stretch=late)
        if late is None and answer(problem, math.inf).option is not None:
            return Explanation(feasible=True, reason="It is feasible: every user has an option within its limits.")
        error = not_together(problem)
    changes, untried = [], []
    for name, found in _attempts(problem, error, until):
        try:
            changes += [change for change in [found()] if change is not None]
        except OutOfTime:
            if name not in untried:
                untried.append(name)
    factors = [c.needed for c in changes if c.field == "deadline_s" and c.unit == "times"]
    return Explanation(
        feasible=False,
        reason=_sentence(str(_called(error, names))),
        users=error.users,
        limits=_called(error, names).limits,
        changes=tuple(replace(change, names=names) for change in changes),
        stretch=factors[0] if factors else None,
        untried=tuple(untried),
    )


def _at_servers(problem: PlacementProblem, until: float, names: Names) -> Explanation:
    """As `explain` has it."""
    limits = problem.hard_deadline_s
    users = tuple(int(k) for k in np.flatnonzero(np.isfinite(limits)))
    error = conflict(problem, math.inf)
    changes: list[Change] = []
    untried: list[str] = []
    try:
        late = stretch(problem, until) if users else None
    except OutOfTime:
        late, untried = None, ["deadline_s"]
    if error is None:
        reason = "It is feasible: every user has an option within its limits, at a server or on its device."
        return Explanation(feasible=True, reason=reason, stretch=late)
    if late is not None:
        longest = float(limits[list(users)].max())
        changes.append(
            Change(field="deadline_s", users=users, now=1.0, needed=late, unit="times",
                   longest_s=(longest, longest * late))
        )  # fmt: skip
    for field, found in enough(problem, _LARGEST, until):
        try:
            one = found()
        except OutOfTime:
            untried += [field] if field not in untried else []
            continue
        if one is not None:
            changes.append(Change(field=field, server=one.server, now=one.now, needed=one.needed, unit=FIELDS[field]))
    return Explanation(
        feasible=False, reason=_sentence(str(_called(error, names))), users=error.users,
        limits=_called(error, names).limits, changes=tuple(replace(change, names=names) for change in changes),
        stretch=late, untried=tuple(untried),
    )  # fmt: skip


def _called(error: Infeasible, names: Names) -> Infeasible:
    return error.with_names(names.users) if names.users else error


def _attempts(
    problem: AllocationProblem, error: Infeasible, until: float
) -> Iterator[tuple[str, Callable[[], Change | None]]]:
    """Fields with what tries them."""
    limited = np.isfinite(problem.hard_deadline_s)
    core = [k for k in error.users if limited[k]]
    if limited.any():
        yield "deadline_s", lambda: _all_deadlines(problem, until)
    if problem.users > 1:  # with one user it is the same change
        for k in core[:_SINGLES]:
            yield "deadline_s", lambda k=k: _one_deadline(problem, k, until)  # type: ignore[misc]
    for field in _BUDGETS:
        yield field, lambda field=field: _budget(problem, field, until)  # type: ignore[misc]
    for field in ("edge_share_max", "uplink_airtime_max_s"):
        if getattr(problem, field) is not None:
            yield field, lambda field=field: _factor(problem, field, until)  # type: ignore[misc]
    if _could_open(problem)[list(error.users)].any():
        yield "allowed", lambda: _more_options(problem, error.users, until)


def _all_deadlines(problem: AllocationProblem, until: float) -> Change | None:
    limits = problem.hard_deadline_s
    users = tuple(int(k) for k in np.flatnonzero(np.isfinite(limits)))
    change = _factor(problem, "deadline_s", until)
    if change is None:
        return None
    longest = float(limits[list(users)].max())
    return replace(change, users=users, longest_s=(longest, longest * change.needed))


def _factor(problem: AllocationProblem, field: str, until: float) -> Change | None:
    values = getattr(problem, field)
    free = {"deadline_s": NO_DEADLINE_S, "uplink_airtime_max_s": NO_AIRTIME_LIMIT_S}.get(field, LARGEST)

    def at(factor: float) -> AllocationProblem:
        return with_field(problem, field, np.where(values >= free, values, np.minimum(values * factor, LARGEST)))

    found = smallest(at, 1.0, _LARGEST, until)
    if found is None:
        return None
    return Change(field=field, now=1.0, needed=found[0], unit="times", proven=found[2])


def _one_deadline(problem: AllocationProblem, user: int, until: float) -> Change | None:
    limits = problem.hard_deadline_s
    now = float(limits[user])

    def at(deadline_s: float) -> AllocationProblem:
        changed = np.minimum(limits, NO_DEADLINE_S)
        changed[user] = deadline_s
        return replace(problem, deadline_s=changed)

    found = smallest(at, now, now * _LARGEST, until)
    if found is None:
        return None
    return Change(field="deadline_s", users=(user,), now=now, needed=found[0], unit="s", proven=found[2])


def _budget(problem: AllocationProblem, field: str, until: float) -> Change | None:
    now = float(getattr(problem, field))
    natural = _natural(problem, field)
    if natural == 0:
        return None  # nobody demands it
    low = now if now > 0 else natural / _LARGEST
    high = max(now, natural) * _LARGEST
    found = smallest(lambda budget: with_field(problem, field, budget), low, high, until)
    if found is None:
        return None
    needed = found[0] if now > 0 or found[0] > low * (1 + PRECISION) else 0.0
    return Change(field=field, now=now, needed=needed, unit=_BUDGETS[field], proven=found[2])


def _natural(problem: AllocationProblem, field: str) -> float:
    """A budget at which a usual demand takes about the shortest time limit (or 1 s); 0 where nobody demands it."""
    limits = problem.hard_deadline_s[np.isfinite(problem.hard_deadline_s)]
    within_s = float(limits.min()) if limits.size else 1.0
    if field == "edge_capacity":
        return float((problem.edge_work_s * problem.allowed_mask).max()) / within_s
    side = field.removesuffix("_hz")
    efficiency, snr = getattr(problem, f"{side}_efficiency"), getattr(problem, f"{side}_snr_hz")
    bits = getattr(problem, f"{side}_bit") * problem.allowed_mask
    if efficiency is None and snr is not None:
        return float(np.where(bits > 0, snr[:, None], 0.0).max())
    if efficiency is None:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        band = np.where((bits > 0) & (efficiency[:, None] > 0), bits / (efficiency[:, None] * within_s), 0.0)
    return float(band.max())


def _more_options(problem: AllocationProblem, users: tuple[int, ...], until: float) -> Change | None:
    allowed = problem.allowed_mask.copy()
    allowed[list(users)] |= _could_open(problem)[list(users)]
    option = answer(replace(problem, allowed=allowed), until).option
    if option is None:
        return None
    newly = [k for k in users if not problem.allowed_mask[k, option[k]]]
    return Change(
        field="allowed",
        users=tuple(newly),
        now=0.0,
        needed=1.0,
        unit="",
        proven=False,
        options=tuple(int(option[k]) for k in newly),
    )


def _could_open(problem: AllocationProblem) -> NDArray[np.bool_]:
    """Options that `allowed` alone forbids, (K, O)."""
    return ~problem.allowed_mask if problem.impossible is None else ~problem.allowed_mask & ~problem.impossible


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def _up(value: float, digits: int = 4) -> float:
    """Rounded up to some digits, so that what is read is enough too."""
    if value <= 0 or not math.isfinite(value):
        return value
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - digits)
    return math.ceil(value / unit * (1 - 1e-12)) * unit


def _shown(value: float, unit: str) -> str:
    return show(_up(value), unit, 4)
