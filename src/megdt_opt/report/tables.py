"""Tables for the terminal."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table

from megdt_opt.execution.record import Execution
from megdt_opt.options import OptionTable
from megdt_opt.planning import Plan
from megdt_opt.timing import TimingProfile
from megdt_opt.timing_published import PublishedTimings
from megdt_opt.units import show
from megdt_opt.verification import Verification


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right")
    return table


def plan_table(plan: Plan) -> Table:
    """One row per user."""
    table = _table(
        f"Plan for {plan.scenario.name}",
        "user",
        "mechanism",
        "denoising",
        "sent as",
        "downlink [kHz]",
        "uplink [kHz]",
        "edge share",
        "latency [s]",
        "refresh [Hz]",
        "bottleneck",
        "survives",
        left=4,
    )
    for k, u in enumerate(plan.users):
        survives = "-" if plan.robustness is None else ("yes" if plan.robustness.survives[k] else "no")
        table.add_row(
            u.name,
            u.option.mechanism,
            u.hand_over,
            " ".join(p for p in (u.option.precision, u.option.codec) if p) or "-",
            f"{u.downlink_hz / 1e3:.2f}",
            f"{u.uplink_hz / 1e3:.2f}",
            f"{u.edge_share:.3f}",
            f"{u.latency_s:.3f}",
            f"{u.refresh_hz:.3f}",
            u.bottleneck,
            survives,
        )
    return table


def outcome_line(plan: Plan) -> str:
    """Objective, bound, gap and status in a sentence."""
    what = "worst" if plan.scenario.objective == "max" else "summed"
    return (
        f"{what} weighted latency {plan.objective_s:.4f} s, proven bound {plan.lower_bound_s:.4f} s, "
        f"gap {plan.gap:.1e} ({plan.status}, method {plan.method}, {plan.solve_s:.2f} s)"
    )


def robustness_line(plan: Plan) -> str:
    """What the calibration's interval does to the plan."""
    if plan.robustness is None:
        return ""
    kept = sum(plan.robustness.survives)
    regret = plan.robustness.regret
    words = f"at most {100 * regret:.2f} %" if np.isfinite(regret) else "a limit is broken at an end of the interval"
    return (
        f"calibration's interval: {kept} of {len(plan.users)} choices stay optimal at all {plan.robustness.corners} "
        f"corners; keeping the plan there costs {words}"
    )


def baseline_table(plan: Plan) -> Table:
    """The plan's rivals."""
    table = _table("Baselines", "option sets", "objective [s]", "times the plan", "breaks limits of", "cannot run it")
    for b in plan.baselines:
        table.add_row(
            b.name,
            f"{b.objective_s:.3f}",
            f"{b.objective_s / plan.objective_s:.2f}",
            ", ".join(b.breaks) or "-",
            ", ".join(b.instead) or "-",
        )
    return table


def print_plan(plan: Plan, console: Console) -> None:
    """Plan, outcome, robustness, baselines and notes."""
    console.print(plan_table(plan))
    for line in (outcome_line(plan), robustness_line(plan), *plan.notes):
        if line:
            console.print(line, highlight=False)
    if plan.baselines:
        console.print(baseline_table(plan))


def execution_table(execution: Execution) -> Table:
    """Predicted and measured, per user."""
    table = _table(
        f"Execution ({execution.mode})", "user", "predicted [s]", "measured [s]", "difference [ms]", "error [%]"
    )
    measured = execution.measured_s
    for user, predicted in execution.predicted_s.items():
        table.add_row(
            user,
            f"{predicted:.4f}",
            f"{measured[user]:.4f}",
            f"{1e3 * (measured[user] - predicted):+.2f}",
            f"{execution.error_percent[user]:+.3f}",
        )
    return table


def execution_line(execution: Execution) -> str:
    """Overruns, busy fraction and stretches in a sentence."""
    stretched = ", ".join(f"{actor} x{factor:g}" for actor, factor in execution.stretch.items() if factor != 1)
    return (
        f"{len(execution.overruns)} stages overran their slot; processors busy {100 * execution.busy_fraction:.0f} % "
        f"of the time; declared stretches: {stretched or 'none'}"
    )


def print_execution(execution: Execution, console: Console) -> None:
    """Predicted and measured, with overruns and busy fraction."""
    console.print(execution_table(execution))
    console.print(execution_line(execution), highlight=False)


def verification_table(verification: Verification) -> Table:
    """Every executed option set."""
    table = _table(
        "Verification of the decision",
        "option set",
        "predicted [s]",
        "measured, median [s]",
        "least to most [s]",
        "overruns",
        "breaks limits of",
    )
    for s in verification.sets:
        table.add_row(
            s.name,
            f"{s.predicted_s:.4f}",
            f"{s.median_s:.4f}",
            f"{min(s.measured_s):.4f} to {max(s.measured_s):.4f}",
            str(s.overruns),
            ", ".join(s.breaks) or "-",
        )
    return table


def verification_line(verification: Verification) -> str:
    """Whether the plan was measured fastest, in a sentence."""
    if verification.plan_is_fastest:
        verdict = "the plan was measured fastest of all sets that keep every limit"
    else:
        parts = [
            f"{m.rival} by {1e3 * m.mean_s:.1f} ms (95 % interval {1e3 * m.interval_s[0]:.1f} to "
            f"{1e3 * m.interval_s[1]:.1f} ms)"
            for m in verification.misses
        ]
        verdict = "measured faster than the plan: " + "; ".join(parts)
    return f"{verdict}; rank correlation of predicted and measured {verification.rank_correlation:.3f}"


def print_verification(verification: Verification, console: Console) -> None:
    """Sets and verdict."""
    console.print(verification_table(verification))
    console.print(verification_line(verification), highlight=False)


def profile_table(profile: TimingProfile) -> Table:
    """Every timed stage."""
    table = _table(
        f"Timing profile of {profile.model} on {profile.device}",
        "stage",
        "batch",
        "rows",
        "median [ms]",
        "interval [ms]",
        "samples",
    )
    for cell in profile.cells:
        low, high = cell.interval_s
        table.add_row(
            f"{cell.kind} {cell.codec}".strip(),
            str(cell.batch),
            "all" if cell.rows is None else f"{cell.rows} of {cell.rows_total}",
            f"{1e3 * cell.median_s:.3f}",
            "-" if profile.published else f"{1e3 * low:.3f} to {1e3 * high:.3f}",
            str(len(cell.samples_s)),
        )
    return table


def published_table(timings: PublishedTimings) -> Table:
    """Devices and models of the published timings."""
    table = _table("Published timings: use as profile 'published: DEVICE / MODEL'", "device", "model", left=2)
    for device, model in timings.devices():
        table.add_row(device, model)
    return table


def ruled_out_table(table: OptionTable) -> Table:
    """Which limit closed how many of a user's options."""
    shown = _table(f"Options of {table.scenario.name}", "user", "allowed", "ruled out by")
    for k, user in enumerate(table.scenario.users):
        allowed = int(table.allowed[k].sum())
        shown.add_row(user.name, f"{allowed} of {len(table.options)}", "\n".join(table.summary(k)) or "-")
    shown.columns[2].justify = "left"
    return shown


def option_table(table: OptionTable, user: int) -> Table:
    """Every option of one user: latency terms, costs, and what closes it."""
    shown = _table(
        f"Options of {table.scenario.users[user].name}",
        "option",
        "fixed [s]",
        "device branch [s]",
        "edge work [s]",
        "uplink [kbit]",
        "downlink [kbit]",
        "device energy [J]",
        "messages",
        "ruled out by",
    )
    for o, option in enumerate(table.options):
        terms, costs = table.terms(user, o), table.costs(user, o)
        closed = "; ".join(table.closed_by(user, o)) or "-"
        if terms is None or costs is None:
            shown.add_row(option.name, *["-"] * 7, closed)
            continue
        joule = costs.device_compute_j
        shown.add_row(
            option.name,
            f"{terms.fixed_s:.3f}",
            f"{terms.device_branch_s:.3f}",
            f"{terms.edge_work_s:.3f}",
            f"{terms.uplink_bit / 1e3:.1f}",
            f"{terms.downlink_bit / 1e3:.1f}",
            "-" if joule is None else show(joule, "J"),
            str(costs.messages),
            closed,
        )
    shown.columns[-1].justify = "left"
    return shown
