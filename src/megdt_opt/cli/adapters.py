"""`megdt-opt adapters`: what adapters there are, and whether a file is one."""

# annotations are values here: as strings, typer would compile each of them twice whenever a command starts

from typing import Annotated

import typer

from megdt_opt.cli.clear_errors import clear_errors
from megdt_opt.cli.terminal import console_of


@clear_errors
def adapters(
    sources: Annotated[list[str] | None, typer.Argument(help="Names or files; default the bundled ones.")] = None,
    model: Annotated[str, typer.Option(help="Model that takes them.")] = "twin",
) -> None:
    """Check users' adapters in full, and print their rank, memory and digest."""
    from rich.table import Table

    from megdt_opt.models.registry import adapters_of, find_spec, read_adapter
    from megdt_opt.si import show

    spec = find_spec(model)
    found = adapters_of(spec)
    table = Table("adapter", "rank", "memory", "quality", "SHA-256")
    for source in sources or (found.measured if found is not None else ("",)):
        one = read_adapter(spec, source)
        known = found is not None and source in found.measured
        quality = "measured" if known else "not measured"
        table.add_row(source, str(one.rank), show(one.resident_byte, "B"), quality, one.sha256[:12])
    console_of().print(table)
