"""Many scenarios of the core problem as arrays: S scenarios of K users with O options each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.arrays import BUDGETS, Array, ProblemArrays
from megdt_opt.problem.evaluation import evaluate_all

OBJECTIVES = ("max", "sum")


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchProblem(ProblemArrays):
    """Scenarios with the same numbers of users and options; each is an `AllocationProblem` of its own.

    A batch is many scenarios that have nothing to do with each other, solved at once; an edge that makes the denoising
    steps of several users in one forward pass is a `BatchedEdgeProblem`. Fields mean what they mean there, with one
    axis more in front: tables are (S, K, O), vectors (S, K), budgets (S,) or one number for all. Arrays of float64
    in C order are taken as they are, not copied: do not change them afterwards.

    Parameters
    ----------
    fixed_s : array_like, (S, K, O)
        Latency that no shared resource shortens [s].
    downlink_bit, uplink_bit : array_like, (S, K, O)
        Payloads of the edge branch [bit].
    edge_work_s : array_like, (S, K, O)
        Time of the edge branch on one whole edge server [s].
    downlink_hz, uplink_hz : array_like, (S,) or ()
        Bands to share [Hz].
    edge_capacity : array_like, (S,) or ()
        Edge servers to share [1].
    device_branch_s, uplink_airtime_max_s : array_like, (S, K, O), optional
        Device branch, and limit on the time on air [s].
    allowed : array_like of bool, (S, K, O), optional
    weight, edge_share_max : array_like, (S, K), optional
        [1]
    downlink_efficiency, uplink_efficiency : array_like, (S, K), optional
        Linear rates [bit/s/Hz].
    downlink_snr_hz, uplink_snr_hz : array_like, (S, K), optional
        Shannon rates [Hz]. Exactly one of efficiency and snr for each direction that options use.
    deadline_s : array_like, (S, K), optional
        Hard limits [s].
    objective : str
        "max" or "sum", the same in all scenarios.

    Raises
    ------
    InvalidInput
        Where an array has another shape, or a number is not finite or of the wrong sign; the message names field,
        scenario, user and option, value, unit and remedy.

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt import BatchProblem
    >>> rng = np.random.default_rng(0)
    >>> batch = BatchProblem(  # 100 scenarios of 3 users with 4 options
    ...     fixed_s=rng.uniform(0, 2, (100, 3, 4)), edge_work_s=rng.uniform(0, 1, (100, 3, 4)),
    ...     downlink_bit=np.zeros((100, 3, 4)), uplink_bit=np.zeros((100, 3, 4)), downlink_hz=0.0, uplink_hz=0.0,
    ... )
    >>> batch.fixed_s.shape
    (100, 3, 4)
    """

    fixed_s: Array
    downlink_bit: Array
    uplink_bit: Array
    edge_work_s: Array
    downlink_hz: Array
    uplink_hz: Array
    edge_capacity: Array = 1.0  # type: ignore[assignment]  # becomes (S,)
    device_branch_s: Array | None = None
    allowed: NDArray[np.bool_] | None = None
    weight: Array | None = None
    edge_share_max: Array | None = None
    downlink_efficiency: Array | None = None
    uplink_efficiency: Array | None = None
    downlink_snr_hz: Array | None = None
    uplink_snr_hz: Array | None = None
    deadline_s: Array | None = None
    uplink_airtime_max_s: Array | None = None
    objective: str = "max"

    def __post_init__(self) -> None:
        self._read_arrays(1, copy=False)
        checks.choice("objective", self.objective, OBJECTIVES, "Use `solve` for each problem.", " for a batch")

    @classmethod
    def of(cls, problems: Sequence[AllocationProblem]) -> BatchProblem:
        """Stack problems of one shape.

        Raises
        ------
        InvalidInput
            Where there is none, or one differs from the first in its shape, objective or fields; names it.
        """
        if not problems:
            raise InvalidInput("problems", problems, "at least one problem", "Give a list with problems.")
        names = [field.name for field in fields(cls)]
        first = problems[0]
        for s, one in enumerate(problems):
            if not isinstance(one, AllocationProblem):
                raise InvalidInput(f"problems (scenario {s})", type(one).__name__, "an AllocationProblem", "Build one.")
            if one.option_cost is not None:
                raise InvalidInput(f"option_cost (scenario {s})", "given", "None in a batch", "Use `solve` for each.")
            for name in ("deviation_budget", "samples_kept"):
                if getattr(one, name) is not None:
                    expected = "None in a batch"
                    raise InvalidInput(f"{name} (scenario {s})", getattr(one, name), expected, "Use `solve` for each.")
            for what in ("users", "options", "objective"):
                if getattr(one, what) != getattr(first, what):
                    raise InvalidInput(
                        f"problems (scenario {s})", f"{what} = {getattr(one, what)}",
                        f"{what} = {getattr(first, what)}, as in scenario 0", "Make one batch for each shape.",
                    )  # fmt: skip
            for name in names:
                if (getattr(one, name) is None) != (getattr(first, name) is None):
                    raise InvalidInput(
                        f"{name} (scenario {s})", "given" if getattr(first, name) is None else None,
                        "the fields that scenario 0 gives", "Give the field in all scenarios or in none.",
                    )  # fmt: skip
        stacked: dict[str, Any] = {"objective": first.objective}
        for name in names:
            if name != "objective" and getattr(first, name) is not None:
                stacked[name] = np.stack([getattr(one, name) for one in problems])
        return cls(**stacked)

    # ---- shapes and parts

    @property
    def scenarios(self) -> int:
        """S."""
        return int(self.fixed_s.shape[0])

    @property
    def plain(self) -> bool:
        """Whether rates are linear and no branch, deadline or airtime limit comes up."""
        extras = (self.downlink_snr_hz, self.uplink_snr_hz, self.deadline_s, self.uplink_airtime_max_s)
        return self.sequential and all(extra is None for extra in extras)

    @property
    def compiled(self) -> bool:
        """Whether the fast kernels take it: what is plain, and for "max" what has linear rates."""
        return self.linear if self.objective == "max" else self.plain

    def problem(self, s: int) -> AllocationProblem:
        """One scenario as a problem of its own, whose arrays were checked with the batch's."""
        made = object.__new__(AllocationProblem)
        for field in fields(AllocationProblem):
            value: Any = getattr(self, field.name, field.default)
            if field.name in BUDGETS:
                value = float(value[s])
            elif isinstance(value, np.ndarray):
                value = checks.read_only(value[s])
            object.__setattr__(made, field.name, value)
        return made

    # ---- evaluation

    def evaluate(
        self, option: ArrayLike, downlink_hz: ArrayLike, uplink_hz: ArrayLike, edge_share: ArrayLike
    ) -> tuple[Array, Array, Array]:
        """Latencies (S, K) [s], objectives (S,) [s] and violations (S,) [1], as `megdt_opt.evaluate` defines them.

        Parameters
        ----------
        option : array_like of int, (S, K)
            Chosen options.
        downlink_hz, uplink_hz, edge_share : array_like, (S, K)
            Shares [Hz, Hz, 1].
        """
        shape = (self.scenarios, self.users)
        shares = [
            checks.shares(name, value, shape, unit)
            for name, value, unit in (
                ("downlink_hz", downlink_hz, "Hz"), ("uplink_hz", uplink_hz, "Hz"), ("edge_share", edge_share, "1"),
            )
        ]  # fmt: skip
        return evaluate_all(self, checks.options("option", option, shape, self.options), np.stack(shares, axis=1))
