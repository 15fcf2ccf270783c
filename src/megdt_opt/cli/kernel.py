"""`megdt-opt execute --mode kernel`: a plan in a world that the kernel enforces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from megdt_opt.cli.progress import progress
from megdt_opt.execution.record import Execution
from megdt_opt.planning.plan import Plan
from megdt_opt.report import write_report
from megdt_opt.report.tables import print_execution, print_verdict, print_verification
from megdt_opt.si import percent
from megdt_opt.trials.kernel import (
    KernelCluster,
    KernelLaws,
    calibrate_work,
    execute_in_kernel,
    held_runs,
    kernel_cluster,
    paired_runs,
)
from megdt_opt.trials.kernel_verification import KernelSets, verify_in_kernel
from megdt_opt.trials.pictures import Picture, judge_pictures
from megdt_opt.trials.verification import Verification
from megdt_opt.verdict.checking import check_inputs, with_intervals
from megdt_opt.verdict.limits import PROFILE_RUNS
from megdt_opt.verdict.verdict import Verdict


def run_in_kernel(
    made: Plan,
    output: Path | None,
    console: Console,
    *,
    repeats: int,
    start_timeout_s: float,
    on_verdict: Callable[[Verdict], None] | None = None,
    latencies: Path | None = None,
) -> Execution:
    """Calibrate in the plan's quotas, rehearse, execute, verify if `repeats` is above 0, print, and write the report if
    a folder is given.

    Raises
    ------
    InvalidInput
        Where rights or tools are missing; for plans that no quota holds.
    """
    known = KernelSets(made, rivals=repeats > 0)  # what cannot be asked for is refused before a process starts
    devices = [run.chains[0].device for run in paired_runs(made)]
    verification: Verification | None = None
    verdict: Verdict | None = None
    with kernel_cluster(known.models, devices, start_timeout_s=start_timeout_s) as processes:
        console.rule(f"executing the plan (kernel, {len(made.users)} users)")
        with console.status("starting the processes in namespaces of their own"):
            processes.cluster.start()
        with console.status("calibrating in quotas"):
            laws = calibrate_work(processes, known.probes)
        with console.status("rehearsing and executing"):
            execution = execute_in_kernel(made, processes, laws, least_factor=known.factor)
        pictures = judge_pictures(made.table, made.users, execution.images, execution.faults)
        print_execution(made, execution, console)
        console.print(_sentence(execution), markup=False, highlight=False, soft_wrap=True)
        if repeats:
            console.rule("verifying the decision against its rivals")
            for said in known.left_out:
                console.print(f"Left out: {said}", markup=False, highlight=False, soft_wrap=True)
            verification, done = _verify(known, processes, laws, repeats, console)
            print_verification(verification, console)
            with console.status("verifying the inputs of the plan"):
                verdict = _check(made, known, processes, laws, [execution, *done], pictures, latencies)
            print_verdict(verdict, console)
            if on_verdict is not None:
                on_verdict(verdict)
    if output is not None:
        written = write_report(output, made, execution, verification, pictures, verdict=verdict)
        console.print(f"report: {written['page']}")
    return execution


def _verify(
    known: KernelSets, processes: KernelCluster, laws: KernelLaws, repeats: int, console: Console
) -> tuple[Verification, list[Execution]]:
    """The decision against its rivals, and the plan's executions among them."""
    runs: list[Execution] = []

    def keep(name: str, done: Execution) -> None:
        if name == known.sets[0].name:
            runs.append(done)

    with progress(console, "executing the plan and its rivals") as update:
        found = verify_in_kernel(known, processes, laws, repeats=repeats, on_progress=update, on_run=keep)
    return found, runs


def _check(
    made: Plan,
    known: KernelSets,
    processes: KernelCluster,
    laws: KernelLaws,
    runs: list[Execution],
    pictures: tuple[Picture, ...],
    latencies: Path | None,
) -> Verdict:
    """The verdict over as many runs as it takes; stages are timed anew without quotas, as a calibration does."""
    while len(runs) < PROFILE_RUNS:
        runs.append(execute_in_kernel(made, processes, laws, least_factor=known.factor))
    processes.world.hold({})
    executed = held_runs(made, known.factor).runs
    return with_intervals(
        check_inputs(made, runs, processes.cluster, pictures, executed=executed), made, runs, latencies
    )


def _sentence(execution: Execution) -> str:
    """The three predictions beside what was measured, and what is stretched."""
    predictions, measured = execution.world["prediction"], execution.measured_s
    told = [
        f"{user}: "
        + ", ".join(f"{percent(100 * (measured[user] / by[user] - 1), 1)} ({kind})" for kind, by in predictions.items())
        for user in measured
        if all(user in by for by in predictions.values())
    ]
    factor = execution.world["factor"]
    slow = f" All times are stretched by {factor:.4g}." if factor > 1 else ""
    return f"Measured against predicted: {'; '.join(told)}.{slow}"
