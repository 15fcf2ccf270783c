"""What a request of each user takes: on its device, on its links and at the edge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.bounds.flow import times_or_never
from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.program.stages import Compute, Kind, Parallel, Send, Series, Stage, is_edge, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.finding import Profiles

Array = NDArray[np.float64]

_DEFAULT: Any = ()
"""Stands for the default of an array."""

_YES: Any = True
"""Stands for all users."""

_AS_LOCALLY = (Kind.ENCODE_PROMPT, Kind.DENOISE)
"""What a device does before it sends, and does just so where it makes the whole picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """Times of the requests of K users; every request of a user comes from a device of its own, of that user's kind.

    At the edge a request goes: `before_s` on the device, `uplink_s` and `propagation_s` to the edge, `edge_s` of its
    work, `downlink_s` and `propagation_s` back, `after_s` on the device. What is sent has a reserved band, so that
    requests meet at the edge alone.

    Parameters
    ----------
    local_s : array_like, (K,)
        Time on the device alone [s]; infinite where that is impossible.
    edge_s : array_like, (K,)
        Work at the edge [s]; infinite where that is impossible.
    uplink_s, downlink_s : array_like, (K,), optional
        Times of sending at the nominal rates [s]; default 0.
    before_s, after_s : array_like, (K,), optional
        Computing on the device before and after [s]; default 0. What goes before is the beginning of what the device
        does alone.
    propagation_s : float
        One-way delay [s].
    weight : array_like, (K,), optional
        Weights in the mean [1]; default 1.
    deadline_s : array_like, (K,), optional
        Times after which a request is counted as late [s]; infinite, the default, for none.
    speculates : array_like of bool, (K,), optional
        Whether a device may compute for a picture that the edge may make as well; default true.
    compute_w, transmit_w : array_like, (K,), optional
        Power of the device while it computes and while it sends [W].
    edge_w : float, optional
        Power of the edge while it computes [W].
    names : tuple of str, optional
        Names of the users.
    options : tuple of str, optional
        What the edge is used for by each user, in words.

    Raises
    ------
    InvalidInput
        Where an array has another length, a number is out of its range, or a user can be served nowhere.

    Examples
    --------
    >>> from megdt_opt.online import Service
    >>> Service(local_s=[4.0, float("inf")], edge_s=[1.0, 0.5]).users
    2
    """

    local_s: Array
    edge_s: Array
    uplink_s: Array = _DEFAULT
    downlink_s: Array = _DEFAULT
    before_s: Array = _DEFAULT
    after_s: Array = _DEFAULT
    propagation_s: float = 0.0
    weight: Array = _DEFAULT
    deadline_s: Array = _DEFAULT
    speculates: NDArray[np.bool_] = _YES
    compute_w: Array | None = None
    transmit_w: Array | None = None
    edge_w: float | None = None
    names: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = checks.table_shape("edge_s", self.edge_s, "s", ("K users",))

        def given(name: str, default: float) -> ArrayLike:
            value: ArrayLike = getattr(self, name)
            return np.full(shape, default) if value is _DEFAULT else value

        found: dict[str, NDArray[Any]] = {}
        for name, default in (("local_s", 0.0), ("edge_s", 0.0), ("deadline_s", np.inf)):
            found[name] = times_or_never(name, given(name, default), shape, "user")
        for name in ("uplink_s", "downlink_s", "before_s", "after_s"):
            found[name] = checks.numbers(name, given(name, 0.0), shape, "s", axes=("user",), copy=True)
        found["weight"] = checks.numbers(
            "weight", given("weight", 1.0), shape, "1", zero=False, axes=("user",), copy=True
        )
        free = np.ones(shape, dtype=bool) if self.speculates is _YES else self.speculates
        found["speculates"] = checks.flags("speculates", free, shape, axes=("user",))
        for name in ("compute_w", "transmit_w"):
            if getattr(self, name) is not None:
                found[name] = checks.numbers(name, getattr(self, name), shape, "W", axes=("user",), copy=True)
        for name, array in found.items():
            object.__setattr__(self, name, checks.read_only(array))
        if self.edge_w is not None:
            object.__setattr__(self, "edge_w", checks.number("edge_w", self.edge_w, "W"))
        object.__setattr__(self, "propagation_s", checks.number("propagation_s", self.propagation_s, "s"))
        for name, texts in (("names", [str(k) for k in range(shape[0])]), ("options", ["edge"] * shape[0])):
            told = tuple(getattr(self, name) or texts)
            if len(told) != shape[0]:
                raise InvalidInput(name, told, f"{shape[0]} names", "Give one for each user.")
            object.__setattr__(self, name, told)
        nowhere = np.flatnonzero(np.isinf(self.local_s) & np.isinf(self.edge_s))
        if nowhere.size:
            who, expected = self.names[int(nowhere[0])], "a finite time on the device or at the edge [s]"
            raise InvalidInput(f"local_s (user {who})", np.inf, expected, "Give one of the two.")

    @property
    def users(self) -> int:
        """K [1]."""
        return len(self.edge_s)

    @property
    def ready_after_s(self) -> Array:
        """Nominal time from arrival to the edge, (K,) [s]."""
        found: Array = self.before_s + self.uplink_s + self.propagation_s * (self.uplink_s > 0)
        return found

    @property
    def rest_s(self) -> Array:
        """Nominal time from the edge to the picture, (K,) [s]."""
        found: Array = self.downlink_s + self.propagation_s * (self.downlink_s > 0) + self.after_s
        return found

    @classmethod
    def of(cls, scenario: Scenario | OptionTable | str | Path, profiles: Profiles | None = None) -> Service:
        """The users of a scenario, each with its best option on an idle system.

        Each user that may send keeps the band divided by the number of those that may, in each direction; a request has
        the whole edge while it is served, as requests are served one after another. Of the options with work at the
        edge the one with the least latency is taken, if the device does nothing for it before it sends but the
        beginning of what it would do alone. Where a user's energy limit does not allow that the device starts what
        the edge may end, the user does not speculate.

        Parameters
        ----------
        scenario : Scenario, OptionTable, str or Path
            As `plan` takes it.
        profiles : mapping of str to TimingProfile or path, optional
            As `plan` takes them.

        Returns
        -------
        Service

        Raises
        ------
        InvalidInput
            Where there are several edges, edge servers other than one, or groups: these are planned for a moment, not
            over time.
        Infeasible
            Where a user has no allowed option.
        """
        table = scenario if isinstance(scenario, OptionTable) else OptionTable.build(scenario, profiles)
        problem = _single_edge(table)
        everyone = range(problem.users)
        at_edge = (problem.edge_work_s > 0) & problem.open_options & (problem.branch_s == 0)
        for k, o in np.argwhere(at_edge):
            at_edge[k, o] = _begins_as_locally(table.program(int(k), int(o)))
        alone = (problem.edge_work_s == 0) & (problem.downlink_bit == 0) & (problem.uplink_bit == 0)
        local_s = np.where(alone & problem.open_options, problem.fixed_s, np.inf).min(axis=1)
        down_s, up_s = (_sending_s(problem, side, at_edge) for side in ("downlink", "uplink"))
        total_s = np.where(at_edge, problem.fixed_s + down_s + up_s + problem.edge_work_s, np.inf)
        best, some = total_s.argmin(axis=1), at_edge.any(axis=1)

        def chosen(table_s: Array, otherwise: float = 0.0) -> Array:
            return np.where(some, table_s[np.arange(problem.users), best], otherwise)

        before_s = np.array([_before_s(table, k, int(best[k])) if some[k] else 0.0 for k in everyone])
        delay_s = table.scenario.channel.propagation_s
        delays_s = delay_s * ((chosen(problem.uplink_bit) > 0) + 1.0 * (chosen(problem.downlink_bit) > 0))
        after_s = np.maximum(chosen(problem.fixed_s) - before_s - delays_s, 0.0) * some
        return cls(
            local_s=local_s,
            edge_s=chosen(problem.edge_work_s, np.inf),
            uplink_s=chosen(up_s),
            downlink_s=chosen(down_s),
            before_s=before_s,
            after_s=after_s,
            propagation_s=delay_s,
            weight=table.scenario.weights,
            deadline_s=np.array([np.inf if u.deadline_s is None else u.deadline_s for u in table.scenario.users]),
            speculates=np.array([_affords(table, k, local_s[k], after_s[k], chosen(up_s)[k]) for k in everyone]),
            names=tuple(user.name for user in table.scenario.users),
            options=tuple(table.options[int(best[k])].name if some[k] else "" for k in everyone),
            **_powers(table),
        )


def _sending_s(problem: AllocationProblem, side: str, at_edge: NDArray[np.bool_]) -> Array:
    """Times of sending in one direction, where each user that may send keeps its part of the band, (K, O) [s]."""
    bits: Array = getattr(problem, f"{side}_bit")
    senders = max(int((at_edge & (bits > 0)).any(axis=1).sum()), 1)
    rate = problem.rate(side, np.full(problem.users, getattr(problem, f"{side}_hz") / senders))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bits > 0, bits / rate[:, None], 0.0)


def _single_edge(table: OptionTable) -> AllocationProblem:
    problem = table.problem()
    remedy = "Take a scenario with one edge server and without groups."
    if table.scenario.grouping is not None:
        raise InvalidInput("scenario.grouping", "given", "one edge server, and no groups", remedy)
    if not isinstance(problem, AllocationProblem):
        raise InvalidInput("scenario", type(problem).__name__, "one edge server, reserved shares, no groups", remedy)
    if problem.edge_capacity != 1:
        raise InvalidInput("edge.servers", problem.edge_capacity, "1 edge server, served in turns", remedy)
    return problem


def _begins_as_locally(program: Stage) -> bool:
    """Whether a program is a chain in which the device, before it sends, does what it would do alone as well."""
    if any(isinstance(part, Parallel) for part in _parts(program)):
        return False
    for leaf in leaves(program):
        if isinstance(leaf, Send) or is_edge(leaf.at):
            return True
        if leaf.kind not in _AS_LOCALLY:
            return False
    return True


def _parts(program: Stage) -> list[Stage]:
    return [program, *(p for s in program.stages for p in _parts(s))] if isinstance(program, Series) else [program]


def _before_s(table: OptionTable, k: int, o: int) -> float:
    """Computing of the device before it first sends [s]."""
    total = 0.0
    for leaf in leaves(table.program(k, o)):
        if not isinstance(leaf, Compute) or is_edge(leaf.at):
            break
        total += table.seconds(leaf)
    return total


def _affords(table: OptionTable, k: int, local_s: float, after_s: float, uplink_s: float) -> bool:
    """Whether a user's energy limit allows the most that the device may do where it starts at once."""
    user = table.scenario.users[k]
    if user.energy_max_j is None or user.device.compute_power_w is None or not np.isfinite(local_s):
        return True
    most_j = user.device.compute_power_w * (local_s + after_s) + user.device.transmit_power_w * uplink_s
    return bool(most_j <= user.energy_max_j)


def _powers(table: OptionTable) -> dict[str, Any]:
    users = table.scenario.users
    known = all(user.device.compute_power_w is not None for user in users)
    return {
        "compute_w": np.array([user.device.compute_power_w for user in users], float) if known else None,
        "transmit_w": np.array([user.device.transmit_power_w for user in users]),
        "edge_w": table.sites[0].edge.compute_power_w,
    }
