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
from megdt_opt.radio.rates import linear_rate, shannon_rate

Array = NDArray[np.float64]

OBJECTIVES = ("max", "sum")

_TABLES = {"fixed_s": "s", "device_branch_s": "s", "downlink_bit": "bit", "uplink_bit": "bit", "edge_work_s": "s",
           "uplink_airtime_max_s": "s"}  # fmt: skip
_VECTORS = {
    # field: (unit, whether 0 is allowed)
    "weight": ("1", False),
    "edge_share_max": ("1", False),
    "downlink_efficiency": ("bit/s/Hz", True),
    "uplink_efficiency": ("bit/s/Hz", True),
    "downlink_snr_hz": ("Hz", True),
    "uplink_snr_hz": ("Hz", True),
    "deadline_s": ("s", False),
}
_BUDGETS = {"downlink_hz": "Hz", "uplink_hz": "Hz", "edge_capacity": "1"}
_NEEDED = ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s", *_BUDGETS)


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchProblem:
    """Scenarios with the same numbers of users and options; each is an `AllocationProblem` of its own.

    Fields mean what they mean there, with one axis more in front: tables are (S, K, O), vectors (S, K), budgets (S,) or
    one number for all. Arrays of float64 in C order are taken as they are, not copied: do not change them afterwards.

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
        shape = checks.plain("fixed_s", self.fixed_s, "numbers [s], shape (S scenarios, K users, O options)").shape
        if len(shape) != 3 or 0 in shape:
            raise InvalidInput(
                "fixed_s", shape, "an array (S scenarios, K users, O options) with at least one of each",
                "Give it three axes; one scenario is (1, K, O).",
            )  # fmt: skip
        for name, unit in _TABLES.items():
            self._read(name, getattr(self, name), shape, unit)
        for name, (unit, zero) in _VECTORS.items():
            self._read(name, getattr(self, name), shape[:2], unit, zero=zero)
        for name, unit in _BUDGETS.items():
            value = getattr(self, name)
            if value is not None and checks.plain(name, value, f"numbers [{unit}]").ndim == 0:
                value = np.full(shape[0], float(checks.numbers(name, value, (), unit)))
            self._read(name, value, shape[:1], unit)
        if self.allowed is not None:
            self._store("allowed", checks.read_only(checks.flags("allowed", self.allowed, shape)))
        if self.objective not in OBJECTIVES:
            raise InvalidInput(
                "objective", self.objective, f"one of {OBJECTIVES} for a batch", "Use `solve` for each problem."
            )
        for side in ("downlink", "uplink"):
            laws = [getattr(self, f"{side}_{law}") is not None for law in ("efficiency", "snr_hz")]
            if all(laws):
                raise InvalidInput(
                    f"{side}_snr_hz", "given", f"exactly one of {side}_efficiency and {side}_snr_hz", "Remove one."
                )
            if not any(laws) and getattr(self, f"{side}_bit").any():
                raise InvalidInput(
                    f"{side}_efficiency", None,
                    f"{side}_efficiency [bit/s/Hz] or {side}_snr_hz [Hz], for options send over this link",
                    "Add one of them.",
                )  # fmt: skip

    def _read(self, name: str, value: Any, shape: tuple[int, ...], unit: str, *, zero: bool = True) -> None:
        if value is not None or name in _NEEDED:
            found = checks.numbers(name, value, shape, unit, zero=zero, axes=("scenario", "user", "option"))
            self._store(name, checks.read_only(found))

    def _store(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

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
    def users(self) -> int:
        """K."""
        return int(self.fixed_s.shape[1])

    @property
    def options(self) -> int:
        """O."""
        return int(self.fixed_s.shape[2])

    @property
    def plain(self) -> bool:
        """Whether rates are linear and no branch, deadline or airtime limit comes up: the fast kernels take it."""
        extras = (self.downlink_snr_hz, self.uplink_snr_hz, self.deadline_s, self.uplink_airtime_max_s)
        branch = self.device_branch_s is not None and bool(self.device_branch_s.any())
        return not branch and all(extra is None for extra in extras)

    def problem(self, s: int) -> AllocationProblem:
        """One scenario as a problem of its own."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return AllocationProblem(
            **{name: value if value is None or name == "objective" else value[s] for name, value in found.items()}
        )

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
        # places in the flat tables
        first = np.arange(self.scenarios * self.users).reshape(-1, self.users) * self.options
        picked: NDArray[np.int64] = first + checks.options("option", option, shape, self.options)
        down, up, edge = (
            checks.shares(name, value, shape, unit)
            for name, value, unit in (
                ("downlink_hz", downlink_hz, "Hz"), ("uplink_hz", uplink_hz, "Hz"), ("edge_share", edge_share, "1"),
            )
        )  # fmt: skip

        def at(table: NDArray[Any]) -> NDArray[Any]:
            return table.reshape(-1)[picked]

        up_s = _time(at(self.uplink_bit), self._rate("uplink", np.maximum(up, 0.0)))
        edge_s = _time(at(self.edge_work_s), np.maximum(edge, 0.0))
        down_s = _time(at(self.downlink_bit), self._rate("downlink", np.maximum(down, 0.0)))
        branch_s = 0.0 if self.device_branch_s is None else at(self.device_branch_s)
        latency_s = at(self.fixed_s) + np.maximum(branch_s, up_s + edge_s + down_s)
        weighted = latency_s if self.weight is None else self.weight * latency_s
        objective_s = weighted.max(axis=1) if self.objective == "max" else weighted.sum(axis=1)
        over = [
            _over(down.sum(axis=1), self.downlink_hz), _over(up.sum(axis=1), self.uplink_hz),
            _over(edge.sum(axis=1), self.edge_capacity),
        ]  # fmt: skip
        if self.edge_share_max is not None:
            over.append(_over(edge, self.edge_share_max).max(axis=1))
        if self.deadline_s is not None:
            over.append(_over(latency_s, self.deadline_s).max(axis=1))
        if self.uplink_airtime_max_s is not None:
            over.append(_over(up_s, at(self.uplink_airtime_max_s)).max(axis=1))
        violation = np.max(over, axis=0)
        broken = np.zeros(self.scenarios, bool) if self.allowed is None else ~at(self.allowed).all(axis=1)
        for share in (down, up, edge):
            broken |= ~((share >= 0) & np.isfinite(share)).all(axis=1)
        return latency_s, objective_s, np.where(broken, np.inf, violation)

    def _rate(self, side: str, band_hz: Array) -> Array:
        efficiency, snr = getattr(self, f"{side}_efficiency"), getattr(self, f"{side}_snr_hz")
        if efficiency is not None:
            return linear_rate(band_hz, efficiency)
        return np.zeros(band_hz.shape) if snr is None else shannon_rate(band_hz, snr)


def _time(amount: Array, speed: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(amount > 0, amount / speed, 0.0)


def _over(value: Array, limit: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(value <= limit, 0.0, (value - limit) / limit)
