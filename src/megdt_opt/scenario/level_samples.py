"""Latencies that hold at a level: samples of options' times from the raw samples of the calibration.

Each sample is one run of the cell: every stage of a user takes times that were measured one after another, from a place
drawn at random in the order in which the calibration took them, so that neighbours stay neighbours, and none is drawn
twice where there are enough. A stage that was not timed at its size has no samples, and its options are left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict, InvalidInput
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.program.latency import LatencyTerms
from megdt_opt.program.stages import Compute, Stage, is_edge, leaves
from megdt_opt.scenario.latency_level import LatencyLevel, percent_of
from megdt_opt.scenario.machines import Machines
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.si import show
from megdt_opt.timing.cells import Cell
from megdt_opt.timing.profile import TimingProfile

MOST_SAMPLES_BYTE = 10**9
"""Memory that the samples of a problem may take [byte]."""


def sampled_problem(
    problem: AllocationProblem,
    level: LatencyLevel,
    machines: Machines,
    names: tuple[str, ...],
    program: Callable[[int, int], Stage],
    terms: Callable[[int, int], LatencyTerms | None],
) -> AllocationProblem:
    """The problem whose latencies are at a level of samples.

    Parameters
    ----------
    problem : AllocationProblem
        With median times.
    level : LatencyLevel
    machines : Machines
    names : tuple of str
        Of the users, (K,).
    program, terms : callable
        Program and latency terms of a user's option, by their numbers.

    Raises
    ------
    InvalidInput
        Where a stage has too few samples for the level, a user's energy is limited, or the samples need too much
        memory.
    """
    airtime = problem.uplink_airtime_max_s
    if airtime is not None and (airtime < 1e9)[problem.allowed_mask].any():
        k = int(np.argwhere((airtime < 1e9) & problem.allowed_mask)[0][0])
        expected = f"left out beside energy_max of user {names[k]}, who would send"
        raise InvalidInput("holds", f"level {level.level:g}", expected, "Leave one of them out.")
    shape = (problem.users, problem.options, level.samples)
    _require_memory(shape)
    fixed, work = np.zeros(shape), np.zeros(shape)
    for k in range(problem.users):
        draws = Draws(level, machines, k)
        for o in np.flatnonzero(problem.allowed_mask[k]).tolist():
            found = terms(k, o)
            assert found is not None
            fixed[k, o], work[k, o] = draws.option(program(k, o), found)
    changed: dict[str, Any] = dict.fromkeys(
        ("fixed_s", "edge_work_s", "device_branch_s", "uplink_airtime_max_s", "impossible")
    )
    changed |= {"fixed_samples_s": fixed, "edge_work_samples_s": work, "samples_kept": level.kept}
    return replace(problem, **changed)


def ruled_out_by_level(
    user: int, level: LatencyLevel, stages: Stage, terms: LatencyTerms, machines: Machines
) -> list[Conflict]:
    """What closes an option whose latency cannot be had at a level: parallel stages, or one that was not timed.

    Parameters
    ----------
    user : int
    level : LatencyLevel
    stages : Stage
        Program of the option.
    terms : LatencyTerms
    machines : Machines
    """
    why = ["options with parallel stages are not planned at a level"] * bool(terms.tasks or terms.device_branch_s > 0)
    for leaf, profile in _computed(stages, machines, user):
        if _cell(leaf, profile) is None:
            rows = "" if leaf.rows is None else f" of {_rows(leaf)} rows"
            why.append(f"{leaf.kind}{rows} was not timed on {profile.device} at its size, so it has no raw samples")
    texts = dict.fromkeys(text.replace("{", "{{").replace("}", "}}") for text in why)
    return [Conflict(user, "holds", level.level, "", "{limit}: " + text) for text in texts]


def ruled_out_by_deadline(
    user: int, scenario: Scenario, stages: Stage, terms: LatencyTerms, machines: Machines, *, closed: bool
) -> list[Conflict]:
    """What closes an option whose stages on the device alone take longer than the user's deadline, at the level at
    which latencies hold; by median times where there is none, or the option is closed and may have no samples.

    Parameters
    ----------
    user : int
    scenario : Scenario
    stages : Stage
        Program of the option.
    terms : LatencyTerms
    machines : Machines
    closed : bool
    """
    due_s, level = scenario.users[user].deadline_s, scenario.holds
    if due_s is None or not scenario.objective_is_time:
        return []
    own_s = terms.fixed_s + terms.device_branch_s
    if level is not None and not closed:
        fixed, _ = Draws(level, machines, user).option(stages, terms)
        own_s = float(np.partition(fixed, level.kept - 1)[level.kept - 1])
    words = "{limit} {value}: the device alone takes longer, whatever the bandwidth and edge share"
    return [Conflict(user, "deadline", due_s, "s", words)] if own_s > due_s else []


def _require_memory(shape: tuple[int, int, int]) -> None:
    users, options, samples = shape
    each = 2 * np.dtype(np.float64).itemsize * users * options
    if each * samples > MOST_SAMPLES_BYTE:
        raise InvalidInput(
            "holds.samples", samples,
            f"at most {MOST_SAMPLES_BYTE // each} samples [1] for {users} users and {options} options: these take "
            f"{show(float(each * samples), 'B')} of memory, and {show(float(MOST_SAMPLES_BYTE), 'B')} are allowed",
            "Draw fewer samples, or offer fewer cuts.",
        )  # fmt: skip


class Draws:
    """What the stages of one user take in each sample.

    Parameters
    ----------
    level : LatencyLevel
    machines : Machines
    user : int
    """

    def __init__(self, level: LatencyLevel, machines: Machines, user: int) -> None:
        self.level, self.machines, self.user = level, machines, user
        self._found: dict[tuple[str, int], NDArray[np.float64]] = {}

    def option(self, stages: Stage, terms: LatencyTerms) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fixed time and work at the edge of an option that `ruled_out_by_level` does not close, each (M,) [s].

        Raises
        ------
        InvalidInput
            Where a stage has too few samples for the level.
        """
        fixed, work, constant = np.zeros(self.level.samples), np.zeros(self.level.samples), terms.fixed_s
        for leaf, profile in _computed(stages, self.machines, self.user):
            if is_edge(leaf.at):
                work += self._seconds(leaf, profile)
            else:
                fixed += self._seconds(leaf, profile)
                constant -= self.machines.compute_s(leaf, self.user)
        return fixed + max(constant, 0.0), work  # delays of the links

    def _samples(self, leaf: Compute, profile: TimingProfile) -> NDArray[np.float64]:
        """Raw samples of a stage [s]; raises InvalidInput where they are too few."""
        cell, needed = _cell(leaf, profile), self.level.needed
        assert cell is not None
        count = 0 if profile.published else len(cell.samples_s)
        if count < needed:
            most = 1 - 1 / count if count > 1 else 0.0
            raise InvalidInput(
                "holds.level", self.level.level,
                f"a level [1] that the {count} raw samples of {cell.label} on {profile.device} can say, planned at "
                f"{percent_of(self.level.kept_part)}: at most {percent_of(most)}",
                f"Calibrate the stage with at least {needed} samples, or lower the level.",
            )  # fmt: skip
        return np.array(cell.samples_s)

    def _seconds(self, leaf: Compute, profile: TimingProfile) -> NDArray[np.float64]:
        """Of a stage at full speed in each sample, (M,) [s]."""
        steps = int(leaf.amount)
        key = f"{'edge' if is_edge(leaf.at) else 'device'} {leaf.at} {leaf.kind} {_rows(leaf)} {leaf.codec}"
        if (key, steps) not in self._found:
            times = self._samples(leaf, profile)
            rng = np.random.default_rng([self.level.seed, self.user, zlib.crc32(key.encode())])
            count, blocks = self.level.samples, len(times) // steps
            once = blocks >= count  # none is drawn twice
            first = steps * rng.permutation(blocks)[:count] if once else rng.integers(0, len(times), count)
            self._found[key, steps] = times[(first[:, None] + np.arange(steps)) % len(times)].sum(axis=1)
        return self._found[key, steps]


def _computed(stages: Stage, machines: Machines, user: int) -> Iterator[tuple[Compute, TimingProfile]]:
    """The compute stages of a program, with the times of who runs them."""
    for leaf in leaves(stages):
        if isinstance(leaf, Compute):
            yield leaf, machines.edges[leaf.at] if is_edge(leaf.at) else machines.devices[user]


def _cell(leaf: Compute, profile: TimingProfile) -> Cell | None:
    return profile.cell(leaf.kind, rows=_rows(leaf), codec=leaf.codec)


def _rows(leaf: Compute) -> int | None:
    return None if leaf.rows is None else leaf.rows[1] - leaf.rows[0]
