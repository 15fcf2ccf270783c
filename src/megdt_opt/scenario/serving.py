"""What an edge server that does not reserve shares makes of a scenario: closed options, and a problem of its own class.

For each such discipline there is a `Serving`, which `options.OptionTable` asks; `options.SERVINGS` lists them by
the names in `disciplines`. It sees the table of options as an `Offer`.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict
from megdt_opt.program.costs import Costs
from megdt_opt.program.option import Option
from megdt_opt.program.stages import Compute, Send, Stage
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.batch_law import BatchLaw


class Offer(Protocol):
    """The table of options, as a discipline sees it."""

    @property
    def scenario(self) -> Scenario:
        """What is planned for."""

    @property
    def options(self) -> tuple[Option, ...]:
        """The catalogue, length O."""

    def open_options(self, *, waived: bool = False) -> NDArray[np.bool_]:
        """Options that are allowed, (K, O); `waived`: without the users' own limits and wishes."""

    def batch_law(self) -> BatchLaw:
        """Seconds of a step of several chains at the edge."""

    def program(self, user: int, option: int) -> Stage:
        """Stages of a user's option, as the discipline arranges them."""

    def declared(self, user: int, option: int) -> Stage:
        """Stages of a user's option, as its mechanism has them."""

    def seconds(self, leaf: Compute) -> float:
        """Seconds of a compute stage on its whole actor [s]."""

    def send_bit(self, leaf: Send, user: int) -> float:
        """Payload of a send stage of a user [bit]."""


class Serving(Protocol):
    """A discipline of an edge server other than reserved shares."""

    def arranged(self, user: int, stages: Stage) -> Stage:
        """A user's program in the order in which this discipline runs it."""

    def closed(self, user: int, stages: Stage, costs: Costs) -> tuple[list[Conflict], bool]:
        """What closes an option that has these stages and costs, beside wishes, memory, privacy and the energy of
        computing; and whether it could be had under this discipline at all, the user's limits apart."""

    def problem(self, allowed: NDArray[Any], *, waived: bool = False) -> Any:
        """The problem of the options that are allowed, (K, O); `waived`: without the users' own limits and wishes."""

    def rate(self, side: str, user: int, band_hz: float) -> float:
        """Rate of a user on a band of the "downlink" or the "uplink" [bit/s]."""

    def notes(self) -> tuple[str, ...]:
        """What a plan says of how the edge and the bands are divided."""
