"""HiGHS without its banner. It loads highspy: whoever may do without imports this late."""

from __future__ import annotations

import highspy


class Silent(highspy.Highs):
    """HiGHS without its banner, which its constructor prints at this first call unless output is off by then."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def enableCallbacks(self) -> None:  # noqa: N802
        self.silent()
        super().enableCallbacks()  # type: ignore[no-untyped-call]
