"""Actors on hosts of their own: keys, serving, and what the links between them carry."""

# annotations are values here: as strings, typer would compile each of them twice whenever a command starts

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megdt_opt.cli.clear_errors import clear_errors
from megdt_opt.cli.terminal import console_of
from megdt_opt.errors import InvalidInput, MegdtError
from megdt_opt.files import try_file

if TYPE_CHECKING:
    from megdt_opt.models.split_model import SplitModel

hosts_app = typer.Typer(help="Keys of actors that serve on several hosts.", no_args_is_help=True, rich_markup_mode=None)


def _with_packages(command: Callable[..., None]) -> Callable[..., None]:
    """Say which packages a command lacks."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ImportError as error:
            raise MegdtError(
                f"this needs the package {error.name}: install it with pip install 'megdt-opt[hosts]', and "
                "'megdt-opt[diffusion]' where an actor serves"
            ) from error

    return wrapped


HostsFile = Annotated[Path, typer.Option("--hosts", help="Hosts file; ca.pem and keys/ lie beside it.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder that `hosts init` made, with the authority's key.")]
Days = Annotated[float, typer.Option(help="Days for which certificates are valid.")]


@hosts_app.command()
@clear_errors
@_with_packages
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make; nothing in it is overwritten.")],
    hosts: Annotated[list[str], typer.Option(help="NAME=ADDRESS:PORT of an actor; can be repeated, or by commas.")],
    days: Days = 90.0,
) -> None:
    """Make a certificate authority, hosts.yaml, and a key for the coordinator and for each actor."""
    from megdt_opt.execution.authority import Authority
    from megdt_opt.execution.hosts_file import Hosts

    made = Authority.create(folder, Hosts.of(part.strip() for text in hosts for part in text.split(",")), days=days)
    _say(f"written: {made.hosts_file}, {made.certificate_file} and {made.folder / 'keys'}")
    _say("Each host gets hosts.yaml, ca.pem and the one key of its actor. Keep ca.key to yourself.")


@hosts_app.command()
@clear_errors
@_with_packages
def renew(
    name: Annotated[str, typer.Argument(help="An actor, or 'coordinator'.")],
    folder: Folder,
    days: Days = 90.0,
) -> None:
    """Make a new key and certificate; an actor that serves takes it up once its key file is replaced."""
    from megdt_opt.execution.authority import Authority

    made = Authority(folder)
    written = made.issue(name, days=days)
    _say(f"written: {written}, valid until {made.credentials(name).end}")


@hosts_app.command()
@clear_errors
@_with_packages
def revoke(name: Annotated[str, typer.Argument(help="An actor, or 'coordinator'.")], folder: Folder) -> None:
    """Revoke all certificates that a name has had; then give every host the new hosts.yaml, and renew."""
    from megdt_opt.execution.authority import Authority

    made = Authority(folder)
    count = made.revoke(name)
    _say(f"revoked: {count} of {name}. Copy {made.hosts_file} to every host, then: megdt-opt hosts renew {name}")


@clear_errors
@_with_packages
def serve(  # wide: each is one option of the command
    name: Annotated[str, typer.Argument(help="The actor: an edge server or a user's device.")],
    hosts: HostsFile,
    model: Annotated[str | None, typer.Option(help="Model to serve, by name; or --plan.")] = None,
    plan: Annotated[Path | None, typer.Option(help="Plan whose model is served.")] = None,
    bind: Annotated[str | None, typer.Option(help="ADDRESS:PORT to listen at, where not that of the file.")] = None,
    key: Annotated[Path | None, typer.Option(help="Key file; default keys/NAME.pem beside the hosts file.")] = None,
    audit: Annotated[Path | None, typer.Option(help="File for a line for each call; default audit-NAME.jsonl.")] = None,
    plugin: Annotated[
        list[str] | None, typer.Option("--plugin", help="Module, or .py file, that registers models and the like.")
    ] = None,
) -> None:
    """Serve an actor on this host until it is told to stop (SIGTERM, Ctrl-C)."""
    from megdt_opt.execution.audit import AuditFile
    from megdt_opt.execution.hosts_file import Hosts
    from megdt_opt.execution.hosts_world import credentials_beside
    from megdt_opt.execution.serving import serve as serve_actor
    from megdt_opt.program.registry import load_plugins

    load_plugins(plugin or ())
    place = Hosts.load(hosts).place(name)
    identity = credentials_beside(hosts, name, key)
    if identity.name != name:
        raise InvalidInput("key", identity.name, f"a key of {name}", "Give the key file of the actor that serves.")
    load = _loader(name, model, plan)
    calls = AuditFile(audit or Path(f"audit-{name}.jsonl"))

    def ready(address: str) -> None:
        _say(f"{name} serves at {address}; its certificate is valid until {identity.end}")

    serve_actor(name, load, identity, bind or str(place), calls, ready)


@clear_errors
@_with_packages
def probe(
    hosts: HostsFile,
    edge: Annotated[list[str] | None, typer.Option(help="An edge server; can be repeated. Default: edge.")] = None,
    output: Annotated[Path | None, typer.Option(help="CSV to write: a row for `sweep --over rows=`.")] = None,
    scenario: Annotated[Path | None, typer.Option(help="Scenario whose links are to be as measured.")] = None,
    write: Annotated[Path | None, typer.Option(help="File for that scenario with the links measured.")] = None,
    key: Annotated[Path | None, typer.Option(help="Key file; default keys/coordinator.pem.")] = None,
) -> None:
    """Measure rate and round-trip time of each link, both ways, and write them where a scenario can use them."""
    from megdt_opt.cli.probe import run_command

    if (scenario is None) != (write is None):
        raise InvalidInput("write", write, "both --scenario and --write, or neither", "Give the other one too.")
    for path in (output, write):
        if path is not None:
            try_file(path)
    run_command(hosts, edge or ["edge"], key, output, scenario, write, console_of())


def _loader(name: str, model: str | None, plan: Path | None) -> Callable[[], "SplitModel"]:
    """What loads the model of an actor: as planned, or by the name that its operator gives."""
    if (model is None) == (plan is None):
        raise InvalidInput("model", model, "one of --model and --plan", "Say which model is served.")
    if plan is not None:
        from megdt_opt.planning.plan import Plan
        from megdt_opt.trials.execute import planned_models

        planned = planned_models(Plan.load(plan).table)
        if name not in planned:
            expected = f"an actor of the plan: {', '.join(planned)}"
            raise InvalidInput("name", name, expected, "Serve one of them, or give --model.")
        return planned[name].load
    from megdt_opt.models.registry import load_model

    return lambda: load_model(str(model))


def _say(text: str) -> None:
    typer.echo(text)
