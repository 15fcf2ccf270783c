"""Which chains an edge server denoises together, batch by batch, as it was planned."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.job import Run
from megdt_opt.program.batches import batch_times_s
from megdt_opt.program.stages import Compute, Kind, leaves


@dataclass(frozen=True, kw_only=True)
class BatchSchedule:
    """The batches of one edge server: each makes the next step of some chains in one pass, after the one before.

    A batch waits for its members. In paced mode one of X chains lasts slope_s X + base_s; in raw mode as long as its
    pass takes.

    Parameters
    ----------
    edge : str
        The edge server.
    start_s : float
        No batch begins before, after the common start [s].
    slope_s, base_s : float
        The law of batches, the actor's stretch included [s].
    batches : tuple of tuple of str
        Names of the chains of each batch, in the order of time.

    Raises
    ------
    InvalidInput
        Where a time is not finite or below 0, no batch takes time, or a batch is empty or names a chain twice.

    Examples
    --------
    >>> from megdt_opt.execution.batch_schedule import BatchSchedule
    >>> made = BatchSchedule(edge="edge", start_s=0.5, slope_s=0.1, base_s=0.2, batches=(("a", "b"), ("a",)))
    >>> made.numbers("a"), made.numbers("b"), [(round(begin_s, 3), round(end_s, 3)) for begin_s, end_s in made.times_s]
    ((0, 1), (0,), [(0.5, 0.9), (0.9, 1.2)])
    """

    edge: str
    start_s: float
    slope_s: float
    base_s: float
    batches: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for name in ("start_s", "slope_s", "base_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidInput(f"batches.{name}", value, "finite and at least 0 s", "Take it from the plan.")
        if self.slope_s == self.base_s == 0:
            raise InvalidInput("batches.slope_s", 0.0, "above 0 s, for base_s is 0 as well", "Take it from the plan.")
        for number, batch in enumerate(self.batches):
            if not batch or len(set(batch)) < len(batch):
                expected = "at least one chain, none of them twice"
                raise InvalidInput(f"batches (batch {number})", list(batch), expected, "Take them from the plan.")

    def numbers(self, chain: str) -> tuple[int, ...]:
        """The batches that a chain is in."""
        return tuple(number for number, batch in enumerate(self.batches) if chain in batch)

    @property
    def times_s(self) -> tuple[tuple[float, float], ...]:
        """When each batch begins and ends, where no member is late [s]."""
        return tuple(batch_times_s(self.start_s, self.slope_s, self.base_s, map(len, self.batches)))

    def batched(self, chain: str, leaf: object) -> bool:
        """Whether a chain's leaf is made in batches."""
        return (
            isinstance(leaf, Compute)
            and leaf.at == self.edge
            and leaf.kind is Kind.DENOISE
            and any(chain in batch for batch in self.batches)
        )

    def check(self, runs: Sequence[Run]) -> None:
        """Refuse batches that are not the edge's steps of these runs.

        Raises
        ------
        InvalidInput
            Where a chain is in more or fewer batches than it makes steps there, makes them of a part of its latent or
            in several stages, or the chains differ in sampler or number of steps.
        """
        count, unknown = Counter(name for batch in self.batches for name in batch), {n for b in self.batches for n in b}
        for run in runs:
            for name in dict.fromkeys(run.chain):
                there = [x for x in run.stages_of(name) if isinstance(x, Compute) and x.at == self.edge]
                steps = [x for x in there if x.kind is Kind.DENOISE]
                unknown.discard(name)
                if sum(x.amount for x in steps) != count[name]:
                    expected = (
                        f"{sum(x.amount for x in steps)} batches, as many as the chain makes steps at {self.edge}"
                    )
                    raise InvalidInput(f"batches with chain {name}", count[name], expected, "Take them from the plan.")
                if len(steps) > 1 or any(x.rows is not None for x in steps):
                    labels = [x.label for x in steps]
                    expected = "one stage of whole latents, for steps that are made in batches"
                    raise InvalidInput(f"stages of chain {name}", labels, expected, "Plan the chain without batches.")
        if unknown:
            expected = "names of chains of the runs"
            raise InvalidInput("batches", sorted(unknown), expected, "Take them from the plan.")
        kinds = {(run.scheduler, run.steps) for run in runs if any(self.batched(n, x) for n, x in _leaves(run))}
        if len(kinds) > 1:
            expected = "one sampler with one number of steps for all chains of the batches"
            raise InvalidInput("batches", sorted(kinds), expected, "Execute the others in a run of their own.")

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {
            "edge": self.edge, "start_s": self.start_s, "slope_s": self.slope_s, "base_s": self.base_s,
            "batches": [list(batch) for batch in self.batches],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BatchSchedule:
        """Build from plain data; errors as the data raise them."""
        return cls(
            edge=str(data["edge"]), start_s=float(data["start_s"]), slope_s=float(data["slope_s"]),
            base_s=float(data["base_s"]), batches=tuple(tuple(str(n) for n in batch) for batch in data["batches"]),
        )  # fmt: skip


def _leaves(run: Run) -> list[tuple[str, object]]:
    return list(zip(run.chain, leaves(run.program), strict=True))
