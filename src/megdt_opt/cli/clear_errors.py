"""What a command shows and returns when it fails."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import typer

from megdt_opt.cli.exit_codes import INFEASIBLE, INTERRUPTED, REFUSED
from megdt_opt.cli.terminal import say
from megdt_opt.errors import Infeasible, MegdtError


def clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Show the package's own errors as one message, and give the exit code of `cli.exit_codes`."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except MegdtError as error:
            say(str(error), type(error).__name__)
            raise typer.Exit(INFEASIBLE if isinstance(error, Infeasible) else REFUSED) from None
        except KeyboardInterrupt:
            say("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped
