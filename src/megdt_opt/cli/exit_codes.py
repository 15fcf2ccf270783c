"""The exit codes of the command line; `docs/howto/exit-codes.md` has the same table."""

from __future__ import annotations

OK = 0
INFEASIBLE = 1
REFUSED = 2
CUT_OFF = 3
WRONG_INPUT = 4
INTERRUPTED = 130
CLOSED_EARLY = 141

MEANING = {
    OK: "done",
    INFEASIBLE: "no plan keeps every limit, or a bound that was checked is violated",
    REFUSED: "an input or an option was refused, a result could not be written, or an execution failed",
    CUT_OFF: "an execution ended, but users were cut off and went on alone or got no picture",
    WRONG_INPUT: "`execute --verify` found that an input of the plan is wrong; the verdict says which",
    INTERRUPTED: "interrupted by Ctrl-C or SIGTERM",
    CLOSED_EARLY: "the reader of the output went away",
}
"""What each code says."""
