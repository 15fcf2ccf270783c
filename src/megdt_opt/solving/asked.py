"""What every search may be asked for: a gap to prove, and a limit on its time."""

from __future__ import annotations

from megdt_opt.problem.checks import number


def check_asked(gap: float, time_limit_s: float | None) -> None:
    """Refuse a gap [1] that is negative, and a time limit [s] that is not above 0; both are finite numbers."""
    number("gap", gap, "1", remedy="Use the default 1e-6.")
    if time_limit_s is not None:
        number("time_limit_s", time_limit_s, "s", zero=False, remedy="Leave it out for no limit.")
