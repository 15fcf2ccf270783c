"""Verifying the decision, not only the sum.

Pacing alone predicts itself, so besides the plan its rivals are executed too: everything centralised,
everything local, the plan's options with equal shares, and the next-best option sets. What counts is whether
the measured order is the predicted one, and whether the plan is measured fastest among the sets that keep
every user's limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from megdt_opt.execution.record import Execution
from megdt_opt.planning.baselines import ONLY, RESERVED_SHARES, UNSHARED, Baseline, equal_shares, next_best
from megdt_opt.planning.cost_totals import cost_part_s
from megdt_opt.planning.groups import GroupPlan
from megdt_opt.planning.in_batches import COMMON
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.user_plan import UserPlan
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import cluster_of, run_options
from megdt_opt.trials.runs import baseline_parts, batch_schedule, user_runs

if TYPE_CHECKING:
    from megdt_opt.execution.cluster import Cluster

TIE = 0.005
"""Sets whose predicted objectives are this close to the plan's, relatively, are ties: no order is predicted."""

LEVEL = 0.95
"""Confidence level of a margin's interval."""


@dataclass(frozen=True, kw_only=True)
class VerifiedSet:
    """One option set with its shares, executed several times.

    Parameters
    ----------
    name : str
        "plan" or the rival's name.
    options : tuple of str
        Option of each user.
    predicted_s : float
        Predicted objective [s].
    measured_s : tuple of float
        Measured objective of each repeat [s].
    overruns : int
        Stages that ended after their slot, over all repeats [1].
    breaks : tuple of str
        Users whose limits the set breaks; such a set may well be faster than the plan.
    """

    name: str
    options: tuple[str, ...]
    predicted_s: float
    measured_s: tuple[float, ...]
    overruns: int = 0
    breaks: tuple[str, ...] = ()

    @property
    def median_s(self) -> float:
        """Median of the repeats [s]."""
        return float(np.median(self.measured_s))


@dataclass(frozen=True, kw_only=True)
class Margin:
    """How much slower the plan was measured than a rival that keeps every limit.

    Parameters
    ----------
    rival : str
        Name of the rival.
    mean_s : float
        Mean of (plan - rival) over the repeats [s].
    interval_s : tuple of float
        Its confidence interval at `LEVEL`, Student's t over the repeats, which are paired by round [s].
    """

    rival: str
    mean_s: float
    interval_s: tuple[float, float]

    @property
    def within_noise(self) -> bool:
        """Whether the interval contains a plan that is as fast as the rival."""
        return self.interval_s[0] <= 0.0


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Predicted against measured objectives of a plan and its rivals.

    Parameters
    ----------
    sets : tuple of VerifiedSet
        The plan first.
    rank_correlation : float
        Spearman's correlation of predicted objectives and measured medians, sets tied with the plan left out [1].
    plan_is_fastest : bool
        Whether no set that keeps every limit, and is not tied with the plan, has a smaller measured median.
    misses : tuple of Margin
        The rivals that were measured faster, with intervals; ties are among them.
    unit : str
        Unit of all objectives: "s", or "" for the weight of late users.
    """

    sets: tuple[VerifiedSet, ...]
    rank_correlation: float
    plan_is_fastest: bool
    misses: tuple[Margin, ...]
    unit: str = "s"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measured_objective_s(plan: Plan, execution: Execution) -> float:
    """The scenario's objective of measured latencies [s]; for "missed" a weight [1]. Who has no picture is infinitely
    late. Weighted costs count as they were predicted."""
    return objective_of_set_s(plan.table, [user.option.name for user in plan.users], execution.measured_s)


def objective_of_set_s(table: OptionTable, options: Sequence[str], measured_s: Mapping[str, float]) -> float:
    """The scenario's objective of latencies by user, and the weighted costs of these options [s]."""
    scenario = table.scenario
    times_s = [measured_s.get(user.name, np.inf) for user in scenario.users]
    return float(scenario.objective_of(times_s)) + cost_part_s(table, options)


@dataclass(frozen=True)
class ExecutedSet:
    """What is executed: a plan, or a rival of it.

    Parameters
    ----------
    name : str
        "plan" or the rival's name.
    table : OptionTable
    users, groups : tuple of UserPlan and of GroupPlan
        What each user runs, and who share steps.
    predicted_s : float
        Predicted objective [s].
    breaks : tuple of str
        Users whose limits it breaks.
    """

    name: str
    table: OptionTable
    users: tuple[UserPlan, ...]
    groups: tuple[GroupPlan, ...]
    predicted_s: float
    breaks: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """Option of each user."""
        return tuple(user.option.name for user in self.users)


def rivals_of(plan: Plan, *, runners_up: int = 2) -> tuple[Baseline, ...]:
    """The sets that a plan is verified against: all centralised, all local, the best single mechanism, the best single
    edge where there are several, the plan's options with equal shares, and the runners-up. Of an edge in turns or in
    batches the best of reserved shares too, and of batches one for all; with equal shares turns are in the order of
    arrival. Where there are groups, which divide no shares equally, the best that is had without sharing stands in
    place of equal shares, and runners-up may share other steps, or among fewer.

    Raises
    ------
    InvalidInput
        Where the plan's latencies hold at a level, for its rivals have median times.
    """
    equal = () if plan.table.shared is not None else (equal_shares(plan.table, plan.options),)
    named = {b.name: b for b in plan.baselines}
    singles = [b for b in plan.baselines if b.mechanism]
    edges = [b for b in plan.baselines if b.name in {f"{ONLY}{site.name}" for site in plan.table.sites}]
    best = (b.name for b in [*singles[:1], *edges[:1]])
    names = dict.fromkeys(["all centralised", "all local", *best, RESERVED_SHARES, COMMON])
    found = [named[name] for name in names if name in named]
    runners = next_best(plan.table, plan.options, count=runners_up)
    if plan.table.shared is None:
        return (*found, *equal, *runners)
    alone = [b for b in plan.baselines if b.name == UNSHARED]
    return (*found, *(b for b in runners if b.options not in [a.options for a in alone]), *alone)


def set_of(plan: Plan, name: str = "plan") -> ExecutedSet:
    """A plan as it is executed beside its rivals."""
    return ExecutedSet(name, plan.table, plan.users, plan.groups, plan.objective_s)


def executed_sets(plan: Plan, others: Mapping[str, Plan] | None = None) -> list[ExecutedSet]:
    """The plan, its rivals and other plans of the same users.

    Raises
    ------
    InvalidInput
        Where the plan's latencies hold at a level.
    """
    sets = [set_of(plan)]
    sets += [
        ExecutedSet(r.name, plan.table, *baseline_parts(plan.table, r), r.objective_s, r.breaks)
        for r in rivals_of(plan)
    ]
    return sets + [set_of(other, name) for name, other in (others or {}).items()]


def execute_sets(
    sets: Sequence[ExecutedSet],
    execute_set: Callable[[ExecutedSet], tuple[Execution, float]],
    *,
    repeats: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None,
    on_run: Callable[[str, Execution], None] | None,
) -> tuple[VerifiedSet, ...]:
    """Execute sets in an order shuffled again in every round; `execute_set` also gives the measured objective [s]."""
    measured: list[list[float]] = [[] for _ in sets]
    overruns = [0] * len(sets)
    rng = np.random.default_rng(seed)
    for number, i in enumerate([int(i) for _ in range(repeats) for i in rng.permutation(len(sets))], start=1):
        done, objective_s = execute_set(sets[i])
        measured[i].append(objective_s)
        overruns[i] += len(done.overruns)
        if on_run is not None:
            on_run(sets[i].name, done)
        if on_progress is not None:
            on_progress(number, repeats * len(sets))
    return tuple(
        VerifiedSet(
            name=row.name, options=row.options, predicted_s=row.predicted_s, measured_s=tuple(measured[i]),
            overruns=overruns[i], breaks=row.breaks,
        )
        for i, row in enumerate(sets)
    )  # fmt: skip


def verify(
    plan: Plan,
    *,
    repeats: int = 3,
    seed: int = 0,
    cluster: Cluster | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    others: Mapping[str, Plan] | None = None,
    on_run: Callable[[str, Execution], None] | None = None,
) -> Verification:
    """Execute a plan and its rivals, each `repeats` times in an order shuffled again in every round.

    Parameters
    ----------
    plan : Plan
        With its baselines.
    others : mapping of str to Plan, optional
        More rivals by their names: plans of the same users, such as with other groups.
    repeats : int
        Rounds [1].
    seed : int
        Of the shuffling.
    cluster : Cluster, optional
        Processes that run already.
    on_progress : callable, optional
        Called with (runs done, runs in all) after each run.
    on_run : callable, optional
        Called with (name of the set, its execution) after each run.

    Raises
    ------
    InvalidInput
        Where the plan's latencies hold at a level.
    """
    sets = executed_sets(plan, others)  # what cannot be asked for is refused before a process starts
    with cluster_of(plan.table, cluster) as processes:

        def execute_set(row: ExecutedSet) -> tuple[Execution, float]:
            longest_s = max(user.latency_s for user in row.users)
            options = run_options(row.table, longest_s, users=row.users)
            batches = batch_schedule(row.table, row.users)
            done = processes.run(user_runs(row.table, row.users, row.groups), options, batches=batches)
            return done, objective_of_set_s(row.table, row.options, done.measured_s)

        how: Any = {"repeats": repeats, "seed": seed, "on_progress": on_progress, "on_run": on_run}
        measured = execute_sets(sets, execute_set, **how)
    return judge(measured, "s" if plan.scenario.objective_is_time else "")


def kendall_tau(sets: Sequence[VerifiedSet], width: float) -> tuple[float, int]:
    """Kendall's rank correlation of predicted objectives and measured medians over the pairs of sets whose predictions
    differ by more than an interval's width, and how many pairs these are; not a number without any.

    Parameters
    ----------
    sets : sequence of VerifiedSet
    width : float
        Of the interval of a latency, relative to the prediction [1]: sets that lie closer are ties.

    Examples
    --------
    >>> from megdt_opt.trials.verification import VerifiedSet, kendall_tau
    >>> sets = [VerifiedSet(name=str(s), options=(), predicted_s=s, measured_s=(1.1 * s,)) for s in (1.0, 1.1, 2.0)]
    >>> kendall_tau(sets, 0.2)
    (1.0, 2)
    """
    signs = []
    for k, one in enumerate(sets):
        for other in sets[k + 1 :]:
            low, high = sorted((one, other), key=lambda each: each.predicted_s)
            if high.predicted_s > low.predicted_s * (1 + width):
                signs.append(np.sign(high.median_s - low.median_s))
    return (float(np.mean(signs)) if signs else float("nan")), len(signs)


def ties(sets: tuple[VerifiedSet, ...]) -> frozenset[str]:
    """Names of the rivals that are predicted within `TIE` of the plan, which is the first of the sets."""
    mine_s = sets[0].predicted_s
    return frozenset(s.name for s in sets[1:] if abs(s.predicted_s - mine_s) <= TIE * mine_s)


def judge(sets: tuple[VerifiedSet, ...], unit: str = "s") -> Verification:
    """Compare measured sets, the plan first; `unit` is that of their objectives."""
    mine = sets[0]
    keeping = [s for s in sets[1:] if not s.breaks]
    misses = tuple(_margin(mine, rival) for rival in keeping if rival.median_s < mine.median_s)
    tied = ties(sets)
    ordered = [s for s in sets if s.name not in tied]
    correlation = 1.0
    if len(ordered) > 1:
        from scipy import stats  # takes long to load

        correlation = float(stats.spearmanr([s.predicted_s for s in ordered], [s.median_s for s in ordered]).statistic)
    return Verification(
        sets=sets,
        rank_correlation=correlation,
        plan_is_fastest=all(m.rival in tied for m in misses),
        misses=misses,
        unit=unit,
    )


def _margin(mine: VerifiedSet, rival: VerifiedSet) -> Margin:
    differences = np.subtract(mine.measured_s, rival.measured_s)
    mean = float(differences.mean())
    count = len(differences)
    if count < 2:
        return Margin(rival=rival.name, mean_s=mean, interval_s=(-np.inf, np.inf))
    from scipy.special import stdtrit

    half = float(stdtrit(count - 1, 0.5 + LEVEL / 2) * differences.std(ddof=1) / np.sqrt(count))
    return Margin(rival=rival.name, mean_s=mean, interval_s=(mean - half, mean + half))
