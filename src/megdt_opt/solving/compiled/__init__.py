"""The price method in compiled code. Nothing here loads numba before it is used.

Compiling takes about a minute once; the code is then kept on disk and loads in a fraction of a second. So that no small
call ever waits, small problems are solved in NumPy (`megdt_opt.solving.branching`) until the compiled code is there:
kept on disk, or, for the smallest, already run in this process. That the module was imported says nothing, for numba
compiles at the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from megdt_opt.problem import AllocationProblem
    from megdt_opt.solving.closed import Closed
    from megdt_opt.solving.incumbent import Incumbent
    from megdt_opt.solving.resources import Resources

SMALL = 64
"""Users times options up to which NumPy is not slower than loading the compiled code [1]."""

WAITS = 1500
"""Users times options above which compiling pays for itself in one call [1]."""

_here: list[bool] = []
"""Not empty once the compiled code has solved a problem in this process."""


def usable(problem: AllocationProblem) -> bool:
    """Whether to solve a problem in compiled code."""
    size = problem.users * problem.options
    if _here or size > WAITS:
        return True
    if size <= SMALL:
        return False
    from megdt_opt.solving.compiled.folder import compiled_before

    return compiled_before()


def close(
    problem: AllocationProblem,
    resources: Resources,
    *,
    gap: float,
    deadline: float,
    incumbent: Incumbent | None = None,
) -> Closed | None:
    """As `branching.close`, in compiled code; None where that found nothing that stands.

    An `incumbent` that is given keeps what was tried, so that the caller need not try it again.
    """
    if not _here:
        from megdt_opt.solving.compiled.loading import load_numba

        load_numba()
    from megdt_opt.solving.compiled.closing import close_compiled

    found = close_compiled(problem, resources, gap=gap, deadline=deadline, incumbent=incumbent)
    _here[:] = [True]
    return found
