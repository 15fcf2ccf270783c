"""`megdt-opt execute --mode kernel`: a plan in a world that the kernel enforces."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.record import Execution
from megdt_opt.planning.plan import Plan
from megdt_opt.report import write_report
from megdt_opt.report.tables import print_execution
from megdt_opt.si import percent
from megdt_opt.trials.kernel import calibrate_work, execute_in_kernel, kernel_cluster, models_of, paired_runs, probes_of
from megdt_opt.trials.pictures import judge_pictures


def run_in_kernel(
    made: Plan, output: Path | None, console: Console, *, verify: bool, start_timeout_s: float
) -> Execution:
    """Calibrate in the plan's quotas, rehearse, execute, print, and write the report if a folder is given.

    Raises
    ------
    InvalidInput
        With `verify`, which the paced mode alone has; where rights or tools are missing; for plans that no quota holds.
    """
    if verify:
        remedy = "Leave out --verify, or verify in paced mode."
        raise InvalidInput("verify", True, "no verification in kernel mode", remedy)
    runs = paired_runs(made)  # what cannot be asked for is refused before a process starts
    devices = [run.chains[0].device for run in runs]
    with kernel_cluster(models_of(made), devices, start_timeout_s=start_timeout_s) as processes:
        console.rule(f"executing the plan (kernel, {len(made.users)} users)")
        with console.status("starting the processes in namespaces of their own"):
            processes.cluster.start()
        with console.status("calibrating in quotas"):
            laws = calibrate_work(processes, sorted(probes_of(runs), key=str))
        with console.status("rehearsing and executing"):
            execution = execute_in_kernel(made, processes, laws)
    pictures = judge_pictures(made.table, made.users, execution.images, execution.faults)
    print_execution(made, execution, console)
    console.print(_sentence(execution), markup=False, highlight=False, soft_wrap=True)
    if output is not None:
        written = write_report(output, made, execution, None, pictures)
        console.print(f"report: {written['page']}")
    return execution


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
