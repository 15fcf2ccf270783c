"""The command line: megdt-opt demo | calibrate | import-timings | plan | execute | sweep | simulate | front | ..."""

# annotations are values here: as strings, typer would compile each of them twice whenever a command starts

import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from megdt_opt.cli import questions
from megdt_opt.cli.adapters import adapters
from megdt_opt.cli.clear_errors import clear_errors
from megdt_opt.cli.exit_codes import CUT_OFF, INTERRUPTED, WRONG_INPUT
from megdt_opt.cli.hosts import hosts_app, probe, serve
from megdt_opt.cli.inputs import Adapters, Plugins, Profiles, ScenarioName, inputs, load, profiles_of, with_adapters
from megdt_opt.cli.option_text import kinds_of, numbers_of, shares_of, size_of
from megdt_opt.cli.terminal import Terminal, console_of, say
from megdt_opt.errors import InvalidInput
from megdt_opt.files import try_file, try_folder
from megdt_opt.logs import listen, write_metrics
from megdt_opt.version import __version__

if TYPE_CHECKING:
    from megdt_opt.execution.record import Execution
    from megdt_opt.verdict.verdict import Verdict


class Mode(StrEnum):
    """Modes of an execution, as the command line offers them."""

    paced = "paced"
    raw = "raw"
    kernel = "kernel"


# what a command needs is imported by the command, so that help and version load nothing heavy
app = typer.Typer(
    help="Decide where a diffusion model's work runs at the mobile edge, prove it, execute it, and compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"megdt-opt {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    log_file: Annotated[Path | None, typer.Option("--log-file", help="File for all that is logged.")] = None,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log to standard error; -vv: more.")] = 0,
) -> None:
    """Options of the command itself."""
    clear_errors(listen)(log_file, verbose)


Figures = Annotated[str, typer.Option("--figures", help="Files of each figure: 'png', 'pdf', 'svg', by commas.")]


@app.command()
@clear_errors
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output"),
    scenario: Annotated[str, typer.Option(help="Scenario file or bundled name.")] = "demo",
    repeats: Annotated[int, typer.Option(min=1, help="Executions of each option set.")] = 3,
    plugin: Plugins = None,
) -> None:
    """Calibrate here, plan, execute, verify the decision, and write the report."""
    from megdt_opt.cli.demo import run_demo
    from megdt_opt.scenario.scenario import Scenario

    load(plugin)
    try_folder(output)
    _tell_faults(run_demo(Scenario.named(scenario), output, repeats=repeats, console=console_of()))


@app.command()
@clear_errors
def calibrate(  # wide: each is one option of the command
    output: Annotated[Path, typer.Argument(help="Profile to write (JSON).")],
    model: Annotated[str, typer.Option(help="'twin', 'sd15', 'sdxl', a pipeline folder or a hub id.")] = "twin",
    guidance: Annotated[float | None, typer.Option(min=0.0, help="Scale of the guidance; 1 = one pass a step.")] = None,
    size: Annotated[str | None, typer.Option(help="Picture of a pipeline: 512, or ROWSxCOLUMNS.")] = None,
    weights: Annotated[str, typer.Option(help="'trained', or 'random' for configurations alone.")] = "trained",
    variant: Annotated[str | None, typer.Option(help="Variant of the weight files, such as 'fp16'.")] = None,
    decoder: Annotated[str | None, typer.Option(help="Folder of a small autoencoder that decodes instead.")] = None,
    controlnet: Annotated[str | None, typer.Option(help="Folder of a ControlNet: pictures from sketches.")] = None,
    spec: Annotated[
        Path | None, typer.Option(help="Spec to write; for a pipeline by default OUTPUT with .spec.json.")
    ] = None,
    device: Annotated[str, typer.Option(help="'cpu' or 'cuda'.")] = "cpu",
    batches: Annotated[str, typer.Option(help="Batch sizes, separated by commas.")] = "1,2,4",
    samples: Annotated[int, typer.Option(min=3, help="Samples of each stage and session, warm-up excluded.")] = 20,
    sessions: Annotated[int, typer.Option(min=1, help="Repetitions; from 2 on, intervals are of later ones.")] = 1,
    pause: Annotated[float, typer.Option(min=0.0, help="Seconds from one session to the next.")] = 0.0,
    wait: Annotated[float, typer.Option(min=0.0, help="Longest wait of a session for an idle machine [s].")] = 10.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    precision: Annotated[str, typer.Option(help="'fp32', 'fp16' or 'bf16'.")] = "fp32",
    plugin: Plugins = None,
) -> None:
    """Time every stage of a model on this machine and store the samples with their provenance."""
    from megdt_opt.cli.calibrate import calibrate_model, pixels_of
    from megdt_opt.models.registry import MODELS
    from megdt_opt.report.tables import profile_table

    load(plugin)
    console, sizes = console_of(), numbers_of(batches)
    if spec is None and decoder is None and MODELS.find(model) is None:
        spec = output.with_name(f"{output.name.removesuffix('.json')}.spec.json")
    for file in (output, *(() if spec is None else (spec,))):
        try_file(file)
    profile = calibrate_model(
        model,
        device=device,
        batches=sizes,
        samples=samples,
        sessions=sessions,
        pause_s=pause,
        wait_s=wait,
        threads=threads,
        precision=precision,
        guidance=guidance,
        pixels=pixels_of(size),
        weights=weights,
        variant=variant,
        decoder=decoder,
        controlnet=controlnet,
        spec_file=spec,
        console=console,
    )
    profile.save(output)
    console.print(profile_table(profile))
    console.print(f"written: {output}" + ("" if spec is None else f", and {spec} to name as a scenario's model"))


@app.command()
@clear_errors
def quality(  # wide: each is one option of the command
    output: Annotated[Path, typer.Argument(help="Table to write (JSON), for a scenario's `quality`.")],
    model: Annotated[str, typer.Option(help="'twin', a pipeline folder, a hub id or a spec file.")] = "twin",
    prompts: Annotated[Path | None, typer.Option(help="File with a prompt a line; without it, examples.")] = None,
    pictures: Annotated[int, typer.Option(min=2, help="Pictures of each point.")] = 20,
    steps: Annotated[str, typer.Option(help="Numbers of steps, separated by commas.")] = "20",
    schedulers: Annotated[str, typer.Option(help="Samplers, separated by commas.")] = "ddim",
    precisions: Annotated[str, typer.Option(help="Precisions of the features sent, by commas.")] = "fp16,int8",
    cuts: Annotated[str, typer.Option(help="Shares of the steps before a hand-over, by commas.")] = "0.1,0.5,0.9",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first picture.")] = 0,
    plugin: Plugins = None,
) -> None:
    """Measure what splitting a model does to its pictures, and store it for floors and targets of scenarios."""
    from megdt_opt.cli.quality import Asked, measure_model

    load(plugin)
    try_file(output)
    asked = Asked(
        model=model, prompts=prompts, pictures=pictures, steps=numbers_of(steps), schedulers=schedulers.split(","),
        precisions=precisions.split(","), cuts=shares_of(cuts), seed=seed,
    )  # fmt: skip
    measure_model(asked, output, console_of())


@app.command()
@clear_errors
def import_timings(  # wide: each is one option of the command
    file: Annotated[Path, typer.Argument(help="optimum-benchmark's JSON, diffusers' CSV, a perf.yaml, or a CSV.")],
    output: Annotated[
        Path | None, typer.Argument(help="Profile to write (JSON); without it the file is shown.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Device, where the file has several or none.")] = None,
    model: Annotated[str | None, typer.Option(help="Model, likewise; as scenarios call it.")] = None,
    precision: Annotated[str | None, typer.Option(help="Precision, likewise: 'fp16', 'w8a16'.")] = None,
    variant: Annotated[str | None, typer.Option(help="Runtime, or how the model was made faster.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of a generation, where not in the file.")] = None,
    passes: Annotated[int | None, typer.Option(min=1, help="Network passes of a step: 2 with guidance.")] = None,
    picture: Annotated[str | None, typer.Option(help="ROWSxCOLUMNS of the pictures, where known.")] = None,
) -> None:
    """Make a timing profile of another program's timing file; nothing is filled in, and what is missing is said."""
    from megdt_opt.cli.timing_files import run_command

    if output is not None:
        try_file(output)
    asked = {"device": device, "model": model, "precision": precision, "variant": variant}
    size = None if picture is None else size_of(picture)
    run_command(file, output, console_of(), steps=steps, passes_per_step=passes, picture=size, **asked)


@app.command()
@clear_errors
def plan(  # wide: each is one option of the command
    scenario: ScenarioName,
    output: Annotated[Path | None, typer.Option(help="Plan to write (JSON).")] = None,
    profile: Profiles = None,
    method: Annotated[str, typer.Option(help="'auto', 'prices', 'enumerate' or a formulation's name.")] = "auto",
    gap: Annotated[float, typer.Option(min=0.0, help="Relative gap to prove.")] = 1e-6,
    time_limit: Annotated[float | None, typer.Option(help="Seconds for the solution.")] = None,
    level: Annotated[float | None, typer.Option(help="Level at which deadlines hold: 0.9, by earlier runs.")] = None,
    mode: Annotated[Mode, typer.Option(help="Mode whose earlier verified runs give intervals.")] = Mode.paced,
    latencies: Annotated[Path | None, typer.Option(help="File of earlier latencies.")] = None,
    adapter: Adapters = None,
    plugin: Plugins = None,
) -> None:
    """Choose mechanism, cut and shares of every user; print the plan beside its baselines."""
    from megdt_opt.cli.latencies import print_intervals, with_kept_deadlines
    from megdt_opt.planning.planner import plan as make_plan
    from megdt_opt.report.tables import print_plan

    load(plugin)
    console = console_of()
    asked, profiles = inputs(scenario, profile, console)
    if output is not None:
        try_file(output)
    if level is not None:
        asked = with_kept_deadlines(asked, level, mode.value, latencies, console)
    with console.status("planning"):
        made = make_plan(with_adapters(asked, adapter), profiles, method=method, gap=gap, time_limit_s=time_limit)
    if output is not None:
        made.save(output)
    print_plan(made, console)
    print_intervals(made, mode.value, latencies, console)
    if output is not None:
        console.print(f"written: {output}")


@app.command()
@clear_errors
def execute(
    plan: Annotated[Path, typer.Argument(help="Plan file, as `plan --output` writes it.")],
    output: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    mode: Annotated[
        Mode, typer.Option(help="'paced'; 'raw' where nothing is stretched; 'kernel': a world of its own.")
    ] = Mode.paced,
    verify: Annotated[bool, typer.Option(help="Execute the rivals too, and judge the inputs.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Executions of each option set with --verify.")] = 3,
    start_timeout: Annotated[float, typer.Option(min=1.0, help="Seconds that processes may take to come up.")] = 120.0,
    hosts: Annotated[Path | None, typer.Option(help="Hosts file: execute on the actors that serve there.")] = None,
    latencies: Annotated[Path | None, typer.Option(help="File of earlier latencies, for --verify.")] = None,
    metrics: Annotated[Path | None, typer.Option(help="File for the metrics of the run, as JSON lines.")] = None,
    plugin: Plugins = None,
) -> None:
    """Execute a plan by real processes; print predicted and measured. Exit code 3 where users were cut off, 4 where
    --verify finds a wrong input."""
    from megdt_opt.cli.demo import run_plan
    from megdt_opt.planning.plan import Plan
    from megdt_opt.trials.metrics import metrics_of

    load(plugin)
    made = Plan.load(plan)
    if output is not None:
        try_folder(output)
    if metrics is not None:
        try_file(metrics)
    verdicts: list[Verdict] = []
    done = run_plan(
        made,
        output,
        mode=_MODES[mode],
        repeats=repeats if verify else 0,
        console=console_of(),
        start_timeout_s=start_timeout,
        on_verdict=verdicts.append,
        latencies=latencies,
        hosts=hosts,
    )
    if metrics is not None:
        write_metrics(metrics, metrics_of(done))
    _tell_faults(done)
    if not all(verdict.ok for verdict in verdicts):
        raise typer.Exit(WRONG_INPUT)


@app.command()
@clear_errors
def sweep(  # wide: each is one option of the command
    scenario: Annotated[str, typer.Argument(help="Scenario (file or bundled), or a sweep's file: scenario and over.")],
    over: Annotated[
        list[str] | None, typer.Option(help="PATH=VALUE,VALUE,..., or rows=TRACE.csv; can be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for all files; default sweep-output.")] = None,
    figures: Annotated[str | None, typer.Option("--figures", help="'png', 'pdf', 'svg', by commas.")] = None,
    seeds: Annotated[int | None, typer.Option(min=0, help="Redraw shadowing and scenes this often.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; -1 = one for each core.")] = None,
    profile: Profiles = None,
    method: Annotated[str | None, typer.Option(help="'auto', 'prices', 'enumerate' or a formulation's name.")] = None,
    gap: Annotated[float | None, typer.Option(min=0.0, help="Relative gap to prove; default 1e-6.")] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds for each solution.")] = None,
    baselines: Annotated[
        bool | None, typer.Option("--baselines/--no-baselines", help="Work out the single mechanisms too.")
    ] = None,
    chunk: Annotated[int | None, typer.Option(min=1, help="Parquet files of so many cells; no figures.")] = None,
    shard: Annotated[str | None, typer.Option(help="I/N: the I-th of N parts, in chunks; then merge.")] = None,
    plugin: Plugins = None,
) -> None:
    """Plan a scenario over a grid of its fields, for example --over "channel.downlink=1 MHz,2 MHz" --over users=2,4."""
    from megdt_opt.cli.sweep import asked_of, run_asked

    load(plugin)
    console = console_of()
    options: dict[str, Any] = {
        "over": over,
        "out": out,
        "figures": figures,
        "seeds": seeds,
        "jobs": jobs,
        "method": method,
    }
    options |= {"gap": gap, "time_limit": time_limit, "baselines": baselines, "chunk": chunk, "shard": shard}
    asked, pairs = asked_of(scenario, options, profile or ())
    found, profiles = inputs(asked.scenario, pairs, console)
    run_asked(asked, found, profiles, console, kinds_of(asked.figures))


@app.command()
@clear_errors
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of a sweep's shards, or the one of its chunks.")],
    out: Annotated[Path, typer.Option(help="Folder for cells.parquet, users.parquet and sweep.json.")],
) -> None:
    """Join the chunks of a sweep, in the order of its grid."""
    from megdt_opt.cli.sweep import told
    from megdt_opt.sweeping.chunks import merge_sweep

    found = merge_sweep(folders, out)
    console = console_of()
    console.print(told(found.cells, found.states))
    for name in ("cells.parquet", "users.parquet", "sweep.json"):
        console.print(f"written: {out / name}")


@app.command()
@clear_errors
def simulate(  # wide: each is one option of the command
    scenario: ScenarioName,
    rate: Annotated[float | None, typer.Option(help="Requests of each user in a second, drawn by Poisson.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="How many requests to draw.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the requests and of the fading.")] = 0,
    fading: Annotated[float, typer.Option(min=0.0, help="Standard deviation of the links' rates in dB.")] = 0.0,
    slot: Annotated[float | None, typer.Option(help="Seconds of a slot, in which links stay as they are.")] = None,
    trace: Annotated[Path | None, typer.Option(help="CSV with request, arrival_s, user, in place of --rate.")] = None,
    links: Annotated[Path | None, typer.Option(help="CSV with slot and a factor for each user; with --trace.")] = None,
    policy: Annotated[list[str] | None, typer.Option(help="A policy's name; can be repeated. Default: all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for tables and figures.")] = Path("simulate-output"),
    figures: Figures = "png",
    profile: Profiles = None,
    plugin: Plugins = None,
) -> None:
    """Serve a scenario's requests over time under several policies, beside what no policy can beat."""
    from megdt_opt.cli.simulate import run_command, trace_of
    from megdt_opt.online.service import Service
    from megdt_opt.scenario.options import OptionTable

    load(plugin)
    console = console_of()
    asked, profiles = inputs(scenario, profile, console)
    try_folder(out)
    service = Service.of(OptionTable.build(asked, profiles))
    drawn = {"rate_per_s": rate, "requests": requests, "seed": seed, "fading_db": fading}
    run_command(
        service,
        trace_of(service, trace, links, slot, drawn),
        policy or [],
        out,
        console=console,
        figures=kinds_of(figures),
    )


@app.command()
@clear_errors
def front(
    scenario: ScenarioName,
    cost: Annotated[list[str], typer.Option(help="A cost, such as device_energy; at most twice.")],
    points: Annotated[int, typer.Option(min=2, help="Limits of each cost.")] = 10,
    out: Annotated[Path, typer.Option(help="Folder for front.csv and the figure.")] = Path("front-output"),
    figures: Figures = "png",
    profile: Profiles = None,
    gap: Annotated[float, typer.Option(min=0.0, help="Relative gap to prove.")] = 1e-6,
    time_limit: Annotated[float | None, typer.Option(help="Seconds for each point.")] = None,
    plugin: Plugins = None,
) -> None:
    """Draw the objective of a scenario against one or two costs, every point proven."""
    from megdt_opt.cli.front import run_command

    load(plugin)
    console = console_of()
    asked, profiles = inputs(scenario, profile, console)
    try_folder(out)
    kinds = kinds_of(figures)
    run_command(
        asked, cost, points, out, profiles=profiles, gap=gap, time_limit_s=time_limit, console=console, figures=kinds
    )


@app.command()
@clear_errors
def bounds(
    count: Annotated[int, typer.Option(min=1, help="Random instances for each bound; a third for the slow ones.")] = 45,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the instances.")] = 0,
) -> None:
    """Check every closed form and bound on random instances; exit code 1 where one is violated."""
    from megdt_opt.cli.bounds import run_command

    if not run_command(count, seed, console=console_of()):
        raise typer.Exit(1)


@app.command()
@clear_errors
def show(
    what: Annotated[str, typer.Argument(help="A scenario, plan or profile (file or bundled name), or 'published'.")],
    user: Annotated[str | None, typer.Option(help="Only this user's options (scenarios).")] = None,
    match: Annotated[list[str] | None, typer.Option(help="Only published rows with this text; repeatable.")] = None,
    profile: Profiles = None,
    plugin: Plugins = None,
) -> None:
    """Show a scenario's options and the limits that rule them out, a plan, a profile, or published timings."""
    from megdt_opt.cli.show import is_scenario, show_anything, show_scenario

    load(plugin)
    console = console_of()
    if match and what != "published":
        raise InvalidInput("--match", match, "nothing but beside 'published'", "Leave it out.")
    if is_scenario(what):
        show_scenario(*inputs(what, profile, console), user, console)
    else:
        show_anything(what, profiles_of(profile), console, match or ())


_MODES: dict[Mode, Literal["paced", "raw", "kernel"]] = {Mode.paced: "paced", Mode.raw: "raw", Mode.kernel: "kernel"}


def _tell_faults(execution: "Execution") -> None:
    for fault in execution.faults:
        say(fault.words)
    if execution.faults:
        raise typer.Exit(CUT_OFF)


app.add_typer(hosts_app, name="hosts")
for question in questions.COMMANDS:
    app.command()(question)
app.command()(adapters)
app.command()(serve)
app.command()(probe)


def main() -> None:
    """Entry point of the command `megdt-opt`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    terminal = Terminal()
    code: Any = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        say("Interrupted.")
        code = INTERRUPTED
    sys.exit(terminal.end(code if isinstance(code, int) else 0 if code is None else 2))


if __name__ == "__main__":
    main()
