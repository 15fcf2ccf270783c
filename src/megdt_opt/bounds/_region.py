"""What the bounds accept: a value outside a proposition's region raises, and says which condition failed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem import checks, region
from megdt_opt.problem.allocation_problem import AllocationProblem


def number(name: str, value: float | None, unit: str, *, above_zero: bool = False, finite: bool = True) -> float:
    """A number of at least 0 (or above it); raises InvalidInput that names it."""
    return checks.number(name, value, unit, zero=not above_zero, finite=finite, remedy="The bound holds only there.")


def part(name: str, value: float) -> float:
    """A share in [0, 1]; raises InvalidInput that names it."""
    found = number(name, value, "1")
    if found > 1:
        raise InvalidInput(name, value, "a share in [0, 1] [1]", "Give a part, not a percentage.")
    return found


def require(
    problem: AllocationProblem,
    *,
    objectives: tuple[str, ...],
    linear: bool = False,
    sequential: bool = False,
    limits: bool = False,
) -> None:
    """Refuse a problem outside a proposition's region.

    Parameters
    ----------
    problem : AllocationProblem
    objectives : tuple of str
        Those that the proposition is about.
    linear, sequential : bool
        Whether it needs linear rates, and no device branch beside the edge branch.
    limits : bool
        True where deadlines and airtimes may be limited.
    """
    region.require(
        problem, "this bound", "It is proved only there; use `solve`.", objectives=objectives, linear=linear,
        sequential=sequential, limits=limits,
    )  # fmt: skip


def fixed_options(problem: AllocationProblem, scaled: Resources, option: object) -> NDArray[np.int64]:
    """Option numbers, (K,); None takes each user's only open option.

    Raises
    ------
    InvalidInput
        Where an option does not exist or is closed, or None is given and a user has several open options.
    """
    if option is None:
        count = scaled.open.sum(axis=1)
        if (count != 1).any():
            k = int(np.flatnonzero(count != 1)[0])
            raise InvalidInput(
                f"option (user {k})", f"{count[k]} open options", "exactly one open option", "Name each user's option."
            )
        return np.asarray(scaled.open.argmax(axis=1), dtype=np.int64)
    remedy = "Name one of the open options of the problem for each user."
    picked = checks.options("option", option, (problem.users,), problem.options, remedy)
    if not scaled.open[np.arange(problem.users), picked].all():
        raise InvalidInput("option", picked.tolist(), "open options", remedy)
    return picked
