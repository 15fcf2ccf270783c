"""What earlier verified runs on this machine say of a plan: deadlines at a level, intervals of its latencies."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from megdt_opt.models.registry import find_spec
from megdt_opt.planning.plan import Plan
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.verdict.deadlines import deadlines_at_level, latency_intervals
from megdt_opt.verdict.intervals import RollingIntervals
from megdt_opt.verdict.store import LatencyStore, key_of


def earlier_runs(model: str, mode: str, path: Path | None) -> RollingIntervals:
    """Errors of earlier runs of a model on this machine in a mode, against what was planned."""
    return LatencyStore(path).rolling(key_of(mode, model, "planned"))


def with_kept_deadlines(scenario: Scenario, level: float, mode: str, path: Path | None, console: Console) -> Scenario:
    """The scenario with the deadlines that predictions must keep, so that latencies keep the stated ones at a level;
    prints them."""
    model = find_spec(scenario.model, scenario.guidance).name
    found = deadlines_at_level(scenario, earlier_runs(model, mode, path), level)
    pairs = [
        f"{user.name} {kept.deadline_s:.4g} s for {user.deadline_s:.4g} s"
        for user, kept in zip(scenario.users, found.users, strict=True)
        if user.deadline_s is not None and kept.deadline_s is not None
    ]
    said = f"Deadlines at level {level:g}, by earlier {mode} runs: predictions keep {', '.join(pairs)}."
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    return found


def print_intervals(plan: Plan, mode: str, path: Path | None, console: Console) -> None:
    """Print the intervals of a plan's latencies at planning time, or how many earlier runs are missing."""
    rolling = earlier_runs(plan.table.spec.name, mode, path)
    for sentence in latency_intervals({user.name: user.latency_s for user in plan.users}, rolling).sentences:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
