"""Verifying a decision in a world that the kernel enforces: the plan and its rivals, all stretched by one factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.job import Probe
from megdt_opt.models.planned import PlannedModel
from megdt_opt.planning.plan import Plan
from megdt_opt.trials.kernel import (
    KernelCluster,
    KernelLaws,
    execute_in_kernel,
    held_runs,
    latencies_s,
    law_times,
    models_of,
    paired_runs,
    probes_of,
)
from megdt_opt.trials.verification import (
    ExecutedSet,
    Verification,
    execute_sets,
    executed_sets,
    judge,
    objective_of_set_s,
    set_of,
)

if TYPE_CHECKING:
    from megdt_opt.execution.record import Execution


class KernelSets:
    """The plan and those of its rivals that quotas hold.

    Parameters
    ----------
    plan : Plan
        With its baselines.
    rivals : bool
        Whether they are executed too.

    Attributes
    ----------
    sets : list of ExecutedSet
        The plan first.
    left_out : tuple of str
        Rivals that no quota holds, with the reason.
    factor : float
        By which all times of all sets are stretched [1].

    Raises
    ------
    InvalidInput
        Where no quota holds the plan, or its latencies hold at a level.
    """

    def __init__(self, plan: Plan, *, rivals: bool = True) -> None:
        self.plan, self.factor = plan, held_runs(plan).factor
        sets = executed_sets(plan) if rivals else [set_of(plan)]
        left_out: dict[str, str] = {}
        for _ in range(2):  # a rival may raise the factor, at which another set's shares may be too small
            for each in (each for each in sets if each.name not in left_out):
                try:
                    self.factor = held_runs(each, self.factor).factor
                except InvalidInput as error:
                    if each is sets[0]:
                        raise
                    left_out[each.name] = f"{each.name}: {error}"
        self.sets = [each for each in sets if each.name not in left_out]
        self.left_out = tuple(left_out.values())

    @property
    def models(self) -> dict[str, PlannedModel]:
        """The actors that the sets need, with their models."""
        return models_of(*self.sets)

    @property
    def probes(self) -> list[Probe]:
        """What has to be calibrated for them."""
        return sorted(probes_of([run for each in self.sets for run in paired_runs(each)]), key=str)


def verify_in_kernel(
    known: KernelSets,
    processes: KernelCluster,
    laws: KernelLaws,
    *,
    repeats: int = 3,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    on_run: Callable[[str, Execution], None] | None = None,
) -> Verification:
    """Execute a plan and its rivals in a kernel's world, each `repeats` times in an order shuffled in every round.

    Objectives are those of the plan's own times: what is predicted by the laws and what is measured are divided by the
    factor by which everything is stretched.

    Parameters
    ----------
    known : KernelSets
    processes : KernelCluster
        With the actors of `known.models`.
    laws : KernelLaws
        With `known.probes`.
    repeats, seed, on_progress, on_run
        As in `trials.verification.verify`.
    """

    def objective_s(each: ExecutedSet, found_s: dict[str, float]) -> float:
        return objective_of_set_s(each.table, each.options, {u: s / known.factor for u, s in found_s.items()})

    def predicted(each: ExecutedSet) -> ExecutedSet:
        times = law_times(held_runs(each, known.factor), laws)
        return replace(each, predicted_s=objective_s(each, latencies_s(times)))

    def execute_set(each: ExecutedSet) -> tuple[Execution, float]:
        done = execute_in_kernel(
            each, processes, laws, rehearsals=0, probe_links=each.name == "plan", least_factor=known.factor
        )
        return done, objective_s(each, done.measured_s)

    sets: Sequence[ExecutedSet] = [predicted(each) for each in known.sets]
    how: Any = {"repeats": repeats, "seed": seed, "on_progress": on_progress, "on_run": on_run}
    measured = execute_sets(sets, execute_set, **how)
    return judge(measured, "s" if known.plan.scenario.objective_is_time else "")
