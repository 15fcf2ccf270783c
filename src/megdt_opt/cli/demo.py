"""The main job from end to end: calibrate, plan, execute, verify, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from megdt_opt.cli.calibrate import calibrate_model
from megdt_opt.cli.kernel import run_in_kernel
from megdt_opt.cli.progress import progress
from megdt_opt.cli.terminal import console_of
from megdt_opt.execution.job import Mode
from megdt_opt.execution.record import Execution
from megdt_opt.models.memory import sentence_of_all
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.planner import plan
from megdt_opt.report import write_report
from megdt_opt.report.tables import print_execution, print_plan, print_restated, print_verdict, print_verification
from megdt_opt.scenario.disciplines import BATCHED
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.finding import HERE
from megdt_opt.trials.execute import START_TIMEOUT_S, cluster_of, execute, planned_models, world_of
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.verification import Verification, rivals_of, verify
from megdt_opt.verdict.checking import check_inputs, with_intervals
from megdt_opt.verdict.limits import PROFILE_RUNS
from megdt_opt.verdict.verdict import Verdict

TIME_FOR_VERIFYING_S = 170.0
"""Time that the executions of the verification may take in all, at their predicted length [s]."""


def run_demo(scenario: Scenario, output: Path, *, repeats: int = 3, console: Console | None = None) -> Execution:
    """Calibrate this machine, plan the scenario, execute and verify the plan, write the report.

    Parameters
    ----------
    scenario : Scenario
        Of the bundled twin model; profiles called "here" are measured now.
    output : Path
        Folder for the report; made if it is not there.
    repeats : int
        Executions of each option set in the verification [1].
    console : Console, optional
        Where to print.

    Returns
    -------
    Execution
        Of the plan.
    """
    console = console or console_of()
    console.rule(f"1 of 4: calibrating the {scenario.model} model on this machine")
    batches = (1, 2, 4, 8) if scenario.discipline == BATCHED else (1,)
    profile = calibrate_model(scenario.model, samples=20, batches=batches, console=console)
    console.rule("2 of 4: planning")
    made = plan(scenario, {HERE: profile})
    print_plan(made, console)
    done = run_plan(made, output, repeats=repeats, console=console, first=3)
    made.save(output / "plan.json")
    profile.save(output / "profile.json")
    return done


def run_plan(
    made: Plan,
    output: Path | None,
    *,
    mode: Mode = "paced",
    repeats: int = 0,
    console: Console | None = None,
    first: int = 1,
    start_timeout_s: float = START_TIMEOUT_S,
    on_verdict: Callable[[Verdict], None] | None = None,
    latencies: Path | None = None,
    hosts: Path | None = None,
) -> Execution:
    """Execute a plan, verify it and its inputs if `repeats` is above 0, print, and write the report into a folder.

    `on_verdict` is told whether the inputs hold; `latencies` is the file of earlier latencies (`verdict.store`).
    """
    console = console or console_of()
    print_restated(made, console)
    if mode == "kernel":
        return run_in_kernel(
            made, output, console, repeats=repeats, start_timeout_s=start_timeout_s, on_verdict=on_verdict,
            latencies=latencies,
        )  # fmt: skip
    last = first + (repeats > 0)
    verification: Verification | None = None
    verdict: Verdict | None = None
    rivals = rivals_of(made) if repeats else ()
    models = planned_models(made.table)
    if made.table.spec.source and hosts is None:
        said = sentence_of_all({name: (model.precision, model.weight_byte) for name, model in models.items()})
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    world = None if hosts is None else world_of(hosts)
    with cluster_of(made.table, start_timeout_s=start_timeout_s, world=world) as cluster:
        console.rule(f"{first} of {last}: executing the plan ({mode}, {len(made.users)} users)")
        with console.status("starting the processes and warming up"):
            cluster.start()
        longest_s = max(user.latency_s for user in made.users)
        with console.status(f"executing: about {longest_s:.0f} s"):
            execution = execute(made, mode=mode, cluster=cluster)
        here = hosts is None
        pictures = judge_pictures(made.table, made.users, execution.images, execution.faults, replay=here)
        print_execution(made, execution, console)
        if repeats:
            # rivals take a few times as long as the plan; a slow machine gets fewer repeats, not a longer demo
            once_s = sum(max(b.latency_s) for b in rivals) + longest_s
            repeats = max(1, min(repeats, int(TIME_FOR_VERIFYING_S / once_s)))
            console.rule(f"{last} of {last}: verifying the decision against its rivals")
            with progress(console, "executing the plan and its rivals") as update:
                runs = [execution]

                def keep(name: str, done: Execution) -> None:
                    if name == "plan":
                        runs.append(done)

                verification = verify(made, repeats=repeats, cluster=cluster, on_progress=update, on_run=keep)
            print_verification(verification, console)
            with console.status("verifying the inputs of the plan"):
                while len(runs) < PROFILE_RUNS and longest_s * PROFILE_RUNS < TIME_FOR_VERIFYING_S:
                    runs.append(execute(made, mode=mode, cluster=cluster))
                runs = [r for r in runs if r.mode == mode]
                verdict = with_intervals(check_inputs(made, runs, cluster, pictures), made, runs, latencies)
            print_verdict(verdict, console)
            if on_verdict is not None:
                on_verdict(verdict)
    if output is not None:
        written = write_report(output, made, execution, verification, pictures, verdict=verdict)
        console.print(f"report: {written['page']}")
    return execution
