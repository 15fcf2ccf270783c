"""Latencies that hold at a level: samples of options' times from the raw samples of the calibration.

Each sample is one run of the cell: every stage of a user takes times that were measured one after another, from a place
drawn at random in the order in which the calibration took them, so that neighbours stay neighbours, and none is drawn
twice where there are enough. A stage that was not timed at its size has no samples, and its options are left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.program.latency import LatencyTerms
from megdt_opt.program.stages import Compute, Stage, is_edge, leaves
from megdt_opt.scenario.latency_level import LatencyLevel
from megdt_opt.scenario.machines import Machines
from megdt_opt.timing.profile import TimingProfile


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
        Where a stage has too few samples for the level, or a user's energy is limited.
    Infeasible
        Where a user has no option whose stages all have samples.
    """
    airtime = problem.uplink_airtime_max_s
    if airtime is not None and (airtime < 1e9)[problem.allowed_mask].any():
        k = int(np.argwhere((airtime < 1e9) & problem.allowed_mask)[0][0])
        expected = f"left out beside energy_max of user {names[k]}, who would send"
        raise InvalidInput("holds", f"level {level.level:g}", expected, "Leave one of them out.")
    shape = (problem.users, problem.options, level.samples)
    fixed, work, allowed = np.zeros(shape), np.zeros(shape), problem.allowed_mask.copy()
    for k in range(problem.users):
        draws = _Draws(level, k)
        for o in np.flatnonzero(allowed[k]).tolist():
            found = terms(k, o)
            assert found is not None
            computed = [leaf for leaf in leaves(program(k, o)) if isinstance(leaf, Compute)]
            profiles = [machines.edges[leaf.at] if is_edge(leaf.at) else machines.devices[k] for leaf in computed]
            timed = [draws.has(leaf, profile) for leaf, profile in zip(computed, profiles, strict=True)]
            if found.tasks or found.device_branch_s > 0 or not all(timed):
                allowed[k, o] = False
                continue
            constant = found.fixed_s
            for leaf, profile in zip(computed, profiles, strict=True):
                if is_edge(leaf.at):
                    work[k, o] += draws.seconds(leaf, profile)
                else:
                    fixed[k, o] += draws.seconds(leaf, profile)
                    constant -= machines.compute_s(leaf, k)
            fixed[k, o] += max(constant, 0.0)  # delays of the links
    stuck = np.flatnonzero(~allowed.any(axis=1)).tolist()
    if stuck:
        raise Infeasible("no option without parallel stages has raw samples of all its stages", users=stuck)
    changed: dict[str, Any] = dict.fromkeys(
        ("fixed_s", "edge_work_s", "device_branch_s", "uplink_airtime_max_s", "impossible")
    )
    changed |= {"fixed_samples_s": fixed, "edge_work_samples_s": work, "samples_kept": level.kept}
    return replace(problem, allowed=allowed, **changed)


class _Draws:
    """What one user's stages take in each sample."""

    def __init__(self, level: LatencyLevel, user: int) -> None:
        self.level, self.user = level, user
        self._found: dict[tuple[str, int], NDArray[np.float64]] = {}

    def has(self, leaf: Compute, profile: TimingProfile) -> bool:
        """Whether the stage was timed at this size; raises InvalidInput where it was with too few samples."""
        cell = profile.cell(leaf.kind, rows=_rows(leaf), codec=leaf.codec)
        if cell is None:
            return False
        count, needed = (0 if profile.published else len(cell.samples_s)), self.level.needed
        if count < needed:
            most = 100 * (1 - 1 / count) if count > 1 else 0.0
            raise InvalidInput(
                "holds.level", self.level.level,
                f"a level [1] that the {count} raw samples of {cell.label} on {profile.device} can say, planned at "
                f"{100 * self.level.kept_part:g} %: at most {most:.3g} %",
                f"Calibrate the stage with at least {needed} samples, or lower the level.",
            )  # fmt: skip
        return True

    def seconds(self, leaf: Compute, profile: TimingProfile) -> NDArray[np.float64]:
        """Of a stage at full speed in each sample, (M,) [s]."""
        rows, steps = _rows(leaf), int(leaf.amount)
        key = f"{'edge' if is_edge(leaf.at) else 'device'} {leaf.at} {leaf.kind} {rows} {leaf.codec}"
        if (key, steps) not in self._found:
            cell = profile.cell(leaf.kind, rows=rows, codec=leaf.codec)
            assert cell is not None
            times = np.array(cell.samples_s)
            rng = np.random.default_rng([self.level.seed, self.user, zlib.crc32(key.encode())])
            count, blocks = self.level.samples, len(times) // steps
            once = blocks >= count  # none is drawn twice
            first = steps * rng.permutation(blocks)[:count] if once else rng.integers(0, len(times), count)
            self._found[key, steps] = times[(first[:, None] + np.arange(steps)) % len(times)].sum(axis=1)
        return self._found[key, steps]


def _rows(leaf: Compute) -> int | None:
    return None if leaf.rows is None else leaf.rows[1] - leaf.rows[0]
