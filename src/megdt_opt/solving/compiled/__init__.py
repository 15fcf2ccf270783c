"""The price method in compiled code; nothing here loads numba before it is used.

Compiling takes about a minute once; the code is then kept on disk and loads in about a second. So that no small call
ever waits, small problems are solved in NumPy (`solving.engines.arrays`) until the compiled code is there: kept on
disk, or, for the smallest, already run in this process or outweighed by the time that NumPy has taken here. A process
that solves one plain problem and ends does without loading it. That the module was imported says nothing, for numba
compiles at the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from megdt_opt.problem.allocation_problem import AllocationProblem

SMALL = 64
"""Users times options up to which NumPy is not slower than loading the compiled code [1]."""

WAITS = 5000
"""Users times options above which compiling pays for itself in one call or a few [1]."""

PATIENCE = 50_000
"""Users times options, of all problems of a process together, that take about as long in NumPy as compiling [1]."""

FIRST = 400
"""Users times options, of all problems of a process together, up to which plain ones are solved sooner in NumPy than
the compiled code is loaded [1]."""

_in_numpy: list[int] = [0]
"""Users times options of the problems that this process has solved in NumPy [1]."""

LOADING_S, COMPILING_S = 1.0, 60.0
"""Seconds that loading the kept code and compiling it take: as many spent in NumPy make either worth it [s]."""

_seconds: list[float] = [0.0]
"""Time that this process has spent on solving in NumPy [s]."""

_here: list[bool] = []
"""Not empty once the compiled code has solved a problem in this process."""

_mixed_here: list[bool] = []
"""The same for what only "mixed" takes, which is compiled and kept apart."""

_MIXED = "mixed"
"""Objective with compiled code of its own, and the mark of that code."""


def usable(problem: AllocationProblem) -> bool:
    """Whether to solve a problem in compiled code, which knows no costs beside the latency and no tails."""
    if problem.cost_limits is not None or problem.option_cost_s is not None or problem.objective == "mean_cvar":
        return False
    size = problem.users * problem.options
    mixed = problem.objective == _MIXED
    if at_hand(mixed) or size > WAITS or (size > SMALL and _in_numpy[0] > PATIENCE) or _seconds[0] > COMPILING_S:
        return True
    small = size <= SMALL or (size + _in_numpy[0] <= FIRST and _plain(problem))
    if small and _seconds[0] <= LOADING_S:
        return False
    from megdt_opt.solving.compiled.folder import compiled_before

    return compiled_before() and (not mixed or compiled_before(mark=_MIXED))


def at_hand(mixed: bool = False) -> bool:
    """Whether the compiled code has run in this process, so that it need not be loaded or compiled; with what "mixed"
    takes besides."""
    return bool(_here) and (not mixed or bool(_mixed_here))


def solved_in_numpy(problem: AllocationProblem, seconds: float) -> None:
    """Note that a problem was solved in NumPy: from some on, loading the compiled code is worth it."""
    _in_numpy[0] += problem.users * problem.options
    _seconds[0] += seconds


def _plain(problem: AllocationProblem) -> bool:
    """Whether NumPy never takes long: without limits that ask for a search, or rates that ask for iterations."""
    return (
        problem.linear
        and problem.sequential
        and problem.uplink_airtime_max_s is None
        and (problem.deadline_s is None or problem.objective == "missed")
    )


def note_use() -> None:
    """Note that the whole search is compiled: it has run in this process, and is kept on disk."""
    if _here:
        return
    from megdt_opt.solving.compiled.folder import mark_compiled

    _here[:] = [True]
    mark_compiled()


def note_mixed() -> None:
    """The same for what "mixed" takes besides."""
    if _mixed_here:
        return
    from megdt_opt.solving.compiled.folder import mark_compiled

    _mixed_here[:] = [True]
    mark_compiled(mark=_MIXED)
