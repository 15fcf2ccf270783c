"""The core problem as arrays, and the evaluation of an allocation.

L_k = fixed + max(device_branch, uplink_bit / rate_u(b_u) + edge_work / f + downlink_bit / rate_d(b_d))
sum b_d <= downlink_hz, sum b_u <= uplink_hz, sum f <= edge_capacity, f <= edge_share_max
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.arrays import ProblemArrays
from megdt_opt.problem.cost_limits import CostLimits, read_costs
from megdt_opt.problem.deviations import EXTRAS, NO_EXTRAS, SAMPLES, Deviations, read_deviations, read_samples
from megdt_opt.problem.evaluation import Evaluation as Evaluation
from megdt_opt.problem.evaluation import evaluate_shares as evaluate_shares
from megdt_opt.problem.evaluation import objective_s as objective_s
from megdt_opt.problem.tilts import Tilts

OBJECTIVES = ("max", "sum", "mixed", "missed", "mean_cvar")


@dataclass(frozen=True, kw_only=True, eq=False)
class AllocationProblem(ProblemArrays):
    """Options and limits of K users with O options each.

    Parameters
    ----------
    fixed_s : array_like, (K, O)
        Latency that no shared resource shortens [s].
    downlink_bit, uplink_bit : array_like, (K, O)
        Payloads of the edge branch [bit].
    edge_work_s : array_like, (K, O)
        Time of the edge branch on one whole edge server [s].
    downlink_hz, uplink_hz : float
        Bands to share [Hz]. A band of zero closes the options that demand it.
    edge_capacity : float
        Edge servers to share [1].
    device_branch_s : array_like, (K, O), optional
        Device branch that runs beside the edge branch [s]; 0 = sequential.
    allowed : array_like of bool, (K, O), optional
        False where a limit that does not depend on the shares rules the option out.
    weight : array_like, (K,), optional
        Weights > 0 [1]; default 1.
    edge_share_max : array_like, (K,), optional
        Most that one user's chain can use [1]; infinite or left out: no cap.
    downlink_efficiency, uplink_efficiency : array_like, (K,), optional
        Linear rate: r = e b [bit/s/Hz].
    downlink_snr_hz, uplink_snr_hz : array_like, (K,), optional
        Shannon rate: r = b log2(1 + g / b) [Hz]. Exactly one of efficiency and snr for each direction; neither is
        needed for a direction that no option uses.
    deadline_s : array_like, (K,), optional
        Hard limit on L_k [s]; for the objective "missed" the soft one. Infinite: none.
    uplink_airtime_max_s : array_like, (K, O), optional
        Limit on uplink_bit / rate_u(b_u) [s], from the energy left for transmission. Infinite: none.
    objective : str
        "max": max_k w_k L_k; "sum": sum_k w_k L_k; "mixed": sum + max_weight * max; "missed": sum of w_k over
        the users later than their deadline; "mean_cvar": the mean and a conditional value at risk.
    max_weight : float, optional
        Goes with "mixed" [1].
    cvar_level, cvar_weight : float, optional
        Go with "mean_cvar": sum_k p_k L_k + cvar_weight * CVaR, where p = w / sum w, and CVaR is the mean latency of
        the worst 1 - cvar_level of the probability p; the level is at least 0 and below 1 [1].
    impossible : array_like of bool, (K, O), optional
        True for options that no change of a limit or budget could open, such as those that were never timed; their
        numbers mean nothing, `allowed` must be false for them, and no explanation advises them.
    option_cost : array_like, (K, O, C), optional
        What an option costs beside its latency, C costs, each in a unit of its own (joules, bytes, messages). Not with
        "missed".
    cost_max : array_like, (C,), optional
        Limits on the costs' totals over the users [their units]. Infinite: none.
    cost_weight_s : array_like, (C,), optional
        What a unit of each total adds to the objective, once [s per unit].
    deviation_budget : float, optional
        How many of the four numbers of its option each user meets larger than stated, Gamma >= 0 [1], 4 or more = all:
        the worst xi in [0, 1]^4 with sum xi <= Gamma. Latencies, deadlines and air time are then those of the worst
        case. "max" and "sum" alone, unless all numbers deviate at once.
    fixed_extra_s, uplink_extra_bit, edge_work_extra_s, downlink_extra_bit : array_like, (K, O), optional
        By how much the numbers are larger at xi = 1 [s, bit, s, bit]; default 0. Device branches do not deviate.
    fixed_samples_s, edge_work_samples_s : array_like, (K, O, M), optional
        In place of `fixed_s` and `edge_work_s`, M samples of both [s].
    samples_kept : int, optional
        m, in 1 to M: L_k is the m-th smallest over the samples, so that m of M samples keep what L_k keeps [1].

    Raises
    ------
    InvalidInput
        Where an array has another shape or holds no plain numbers (masked entries, durations, units), a number is
        not finite, of the wrong sign or outside `problem.checks.SMALLEST` to `LARGEST`, or fields contradict each
        other; the message names field, user and option, value, unit and remedy.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, solve
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> problem.users, problem.options, problem.linear
    (2, 2, True)
    """

    fixed_s: NDArray[np.float64] = None  # type: ignore[assignment]  # only where there are samples in its place
    downlink_bit: NDArray[np.float64]
    uplink_bit: NDArray[np.float64]
    edge_work_s: NDArray[np.float64] = None  # type: ignore[assignment]  # only where there are samples in its place
    downlink_hz: float
    uplink_hz: float
    edge_capacity: float = 1.0
    device_branch_s: NDArray[np.float64] | None = None
    allowed: NDArray[np.bool_] | None = None
    weight: NDArray[np.float64] | None = None
    edge_share_max: NDArray[np.float64] | None = None
    downlink_efficiency: NDArray[np.float64] | None = None
    uplink_efficiency: NDArray[np.float64] | None = None
    downlink_snr_hz: NDArray[np.float64] | None = None
    uplink_snr_hz: NDArray[np.float64] | None = None
    deadline_s: NDArray[np.float64] | None = None
    uplink_airtime_max_s: NDArray[np.float64] | None = None
    objective: str = "max"
    max_weight: float | None = None
    impossible: NDArray[np.bool_] | None = None
    option_cost: NDArray[np.float64] | None = None
    cost_max: NDArray[np.float64] | None = None
    cost_weight_s: NDArray[np.float64] | None = None
    cvar_level: float | None = None
    cvar_weight: float | None = None
    deviation_budget: float | None = None
    fixed_extra_s: NDArray[np.float64] | None = None
    uplink_extra_bit: NDArray[np.float64] | None = None
    edge_work_extra_s: NDArray[np.float64] | None = None
    downlink_extra_bit: NDArray[np.float64] | None = None
    fixed_samples_s: NDArray[np.float64] | None = None
    edge_work_samples_s: NDArray[np.float64] | None = None
    samples_kept: int | None = None

    def __repr__(self) -> str:
        return f"<AllocationProblem: {self.users} users, {self.options} options, {self.objective}>"

    def __post_init__(self) -> None:
        self._check_samples()
        self._read_arrays(0, copy=True)
        self._check_objective()
        shape = self.users, self.options
        costs = read_costs(shape, self.objective, self.option_cost, self.cost_max, self.cost_weight_s)
        for name, value in zip(("option_cost", "cost_max", "cost_weight_s"), costs, strict=True):
            self._store(name, value)
        self._check_deviations(shape)

    def _check_samples(self) -> None:
        given = [getattr(self, name) is not None for name in (*SAMPLES, "samples_kept")]
        if not any(given):
            return
        for name in ("fixed_s", "edge_work_s"):
            if getattr(self, name) is not None:
                expected = "left out beside samples, which stand in its place"
                raise InvalidInput(name, "given", expected, "Give the numbers or the samples.")
        shape = checks.table_shape("downlink_bit", self.downlink_bit, "bit", ("K users", "O options"))
        kept = read_samples((shape[0], shape[1]), self.fixed_samples_s, self.edge_work_samples_s, self.samples_kept)
        for name, value in zip((*SAMPLES, "samples_kept"), kept, strict=True):
            self._store(name, value)

    def _check_deviations(self, shape: tuple[int, int]) -> None:
        budget, extras = read_deviations(shape, self.deviation_budget, {name: getattr(self, name) for name in EXTRAS})
        for name, value in {"deviation_budget": budget, **extras}.items():
            self._store(name, value)
        sampled = self.samples_kept is not None
        if sampled and budget is not None:
            expected = "left out beside samples, which say by themselves what deviates"
            raise InvalidInput("deviation_budget", budget, expected, "Give the extras or the samples.")
        for name, cause in (("deviation_budget", budget is not None and not self.settled), ("samples_kept", sampled)):
            if cause and self.objective not in ("max", "sum"):
                expected = f'"max" or "sum" beside {name}'
                raise InvalidInput("objective", self.objective, expected, "Choose one of them, or leave the other out.")
        beside = [*(["option_cost"] if sampled or not self.settled else []),
                  *(["device_branch_s", "uplink_airtime_max_s"] if sampled else [])]  # fmt: skip
        for name in beside:
            if getattr(self, name) is not None:
                expected = f"left out beside {'samples' if sampled else 'a deviation_budget below 4'}"
                raise InvalidInput(name, "given", expected, "Leave one of them out.")
        for side in ("downlink", "uplink"):
            extra, laws = extras[f"{side}_extra_bit"], (f"{side}_efficiency", f"{side}_snr_hz")
            if extra is not None and extra.any() and all(getattr(self, law) is None for law in laws):
                expected = f"{laws[0]} [bit/s/Hz] or {laws[1]} [Hz], because options may send over this link"
                raise InvalidInput(laws[0], None, expected, "Add one of them.")

    def _check_objective(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        if (self.objective == "mixed") != (self.max_weight is not None):
            raise InvalidInput(
                "max_weight", self.max_weight, 'a number with objective "mixed" only', "Give both or neither."
            )
        if self.max_weight is not None:
            self._store("max_weight", float(checks.numbers("max_weight", self.max_weight, (), "1")))
        for name in ("cvar_level", "cvar_weight"):
            value = getattr(self, name)
            if (self.objective == "mean_cvar") != (value is not None):
                expected = 'a number with objective "mean_cvar" only'
                raise InvalidInput(name, value, expected, "Give cvar_level and cvar_weight, or neither.")
            if value is not None:
                self._store(name, float(checks.numbers(name, value, (), "1")))
        if self.cvar_level is not None and self.cvar_level >= 1.0:
            raise InvalidInput("cvar_level", self.cvar_level, "at least 0 and below 1 [1]", 'Take "max" for 1.')
        if self.objective == "missed" and self.deadline_s is None:
            raise InvalidInput("deadline_s", None, 'deadlines [s] with objective "missed"', "Add them.")
        if self.impossible is not None:
            self._store(
                "impossible", checks.read_only(checks.flags("impossible", self.impossible, self.downlink_bit.shape))
            )
            if (self.allowed_mask & self.impossible).any():
                k, o = (int(i) for i in np.argwhere(self.allowed_mask & self.impossible)[0])
                expected = "False for an option that is impossible"
                raise InvalidInput(f"allowed (user {k}, option {o})", True, expected, "Forbid it.")

    def with_fixed_s(self, fixed_s: ArrayLike) -> AllocationProblem:
        """The same problem with other constant times, (K, O) [s]; nothing else is checked or worked out again."""
        other = copy.copy(self)
        found = checks.numbers("fixed_s", fixed_s, self.fixed_s.shape, "s", axes=("user", "option"))
        other._store("fixed_s", checks.read_only(found))
        return other

    def evaluate(self, answer: Any) -> Evaluation:
        """Latency, objective and violation of an answer: of its `option`, `downlink_hz`, `uplink_hz` and `edge_share`.

        Parameters
        ----------
        answer : object
            Has these four, each (K,), as an `Allocation` does; nothing else of it is read.

        Raises
        ------
        InvalidInput
            Where one is missing, has another shape or names an option that does not exist.
        """
        return evaluate(self, *checks.decisions(answer, ("option", "downlink_hz", "uplink_hz", "edge_share")))

    @cached_property
    def tilts(self) -> Tilts | None:
        """The multipliers by which the largest latency is proven; None where there are none to prove it."""
        if self.objective == "mixed":
            return Tilts(1.0, self.max_weight or 0.0)
        if self.objective == "max" and self.option_cost_s is not None:
            return Tilts(0.0, 1.0, "1")
        if self.cvar_level is not None and self.cvar_weight is not None:
            most = float(np.nextafter(self.cvar_weight / (1.0 - self.cvar_level), 0.0))
            return Tilts(1.0, self.cvar_weight, "cvar_weight", np.full(self.users, most), self.weights)
        return None

    # ---- defaults

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Weights with their default, (K,) [1]; of "mean_cvar" probabilities, which sum to 1."""
        given = np.ones(self.users) if self.weight is None else self.weight
        return given / given.sum() if self.objective == "mean_cvar" else given

    @cached_property
    def branch_s(self) -> NDArray[np.float64]:
        """Device branches with their default, (K, O) [s]."""
        return np.zeros(self.downlink_bit.shape) if self.device_branch_s is None else self.device_branch_s

    @cached_property
    def share_caps(self) -> NDArray[np.float64]:
        """Share caps with their default, (K,) [1]; infinite where there is none."""
        if self.edge_share_max is None:
            return np.full(self.users, np.inf)
        return np.where(self.edge_share_max >= checks.NO_SHARE_CAP, np.inf, self.edge_share_max)

    @cached_property
    def allowed_mask(self) -> NDArray[np.bool_]:
        """`allowed` with its default, (K, O)."""
        return np.ones(self.downlink_bit.shape, dtype=bool) if self.allowed is None else self.allowed

    # ---- what is not known exactly

    @cached_property
    def deviations(self) -> Deviations | None:
        """What the users' numbers may exceed; None where nothing deviates."""
        if self.deviation_budget is None:
            return None
        extras = [getattr(self, name) for name in EXTRAS]
        own, *amounts = [np.zeros(self.downlink_bit.shape) if extra is None else extra for extra in extras]
        return Deviations(float(self.deviation_budget), own, np.stack(amounts))

    @property
    def uncertain(self) -> bool:
        """Whether latencies are a worst case or a level of samples that depends on the shares."""
        return self.samples_kept is not None or not self.settled

    @property
    def settled(self) -> bool:
        """Whether the worst case of the deviations is the same whatever the shares are."""
        return self.deviations is None or self.deviations.whole

    @cached_property
    def certain(self) -> AllocationProblem:
        """The problem of the worst case where that is the same whatever the shares are; else itself."""
        found = self.deviations
        if found is None or not found.whole:
            return self
        part = found.one
        return replace(
            self, fixed_s=self.fixed_s + part * found.fixed_s, downlink_bit=self.downlink_bit + part * found.amounts[0],
            uplink_bit=self.uplink_bit + part * found.amounts[1],
            edge_work_s=self.edge_work_s + part * found.amounts[2],
            deviation_budget=None, **NO_EXTRAS,
        )  # fmt: skip

    @cached_property
    def samples(self) -> tuple[NDArray[np.float64], NDArray[np.float64], int] | None:
        """Samples of fixed times and of work at the edge, (K, O, M), and which one counts; None without any."""
        if self.fixed_samples_s is None or self.edge_work_samples_s is None or self.samples_kept is None:
            return None
        return self.fixed_samples_s, self.edge_work_samples_s, self.samples_kept

    @cached_property
    def most_amounts(self) -> NDArray[np.float64]:
        """The most that options may ask of downlink, uplink and edge, (3, K, O) [bit, bit, s]."""
        work = self.edge_work_s if self.samples is None else self.samples[1].max(axis=2)
        found = np.stack([self.downlink_bit, self.uplink_bit, work])
        return found if self.deviations is None else found + self.deviations.one * self.deviations.amounts

    @cached_property
    def all_open(self) -> bool:
        """Whether nothing but the deadlines closes an option: all are allowed, and all resources are there."""
        laws = (
            self.downlink_efficiency if self.downlink_snr_hz is None else self.downlink_snr_hz,
            self.uplink_efficiency if self.uplink_snr_hz is None else self.uplink_snr_hz,
        )
        return (
            self.allowed is None
            and self.uplink_airtime_max_s is None
            and self.cost_max is None
            and min(self.downlink_hz, self.uplink_hz, self.edge_capacity) > 0
            and all(law is not None and bool(law.min() > 0) for law in laws)
        )

    @cached_property
    def cost_limits(self) -> CostLimits | None:
        """The limited costs; None where no total is limited."""
        if self.option_cost is None or self.cost_max is None or not np.isfinite(self.cost_max).any():
            return None
        return CostLimits(self.option_cost, self.cost_max, self._served_options)

    @cached_property
    def option_cost_s(self) -> NDArray[np.float64] | None:
        """What options add to the objective by their weighted costs, (K, O) [s]; None where they add nothing."""
        if self.option_cost is None or self.cost_weight_s is None or not self.cost_weight_s.any():
            return None
        return self.option_cost @ self.cost_weight_s

    @cached_property
    def open_options(self) -> NDArray[np.bool_]:
        """Options that are allowed, demand no resource whose budget is zero, and cost no more than the limits leave if
        all others cost the least, (K, O)."""
        return self._served_options if self.cost_limits is None else self.cost_limits.within

    @cached_property
    def _served_options(self) -> NDArray[np.bool_]:
        """Options that are allowed and demand no resource whose budget is zero, (K, O)."""
        mask = self.allowed_mask.copy()
        if self.all_open:
            return mask
        most = (self.downlink_bit, self.uplink_bit, self.edge_work_s) if not self.uncertain else self.most_amounts
        for side, bit in zip(("downlink", "uplink"), most, strict=False):
            law = getattr(self, f"{side}_efficiency")
            law = getattr(self, f"{side}_snr_hz") if law is None else law
            reachable = np.zeros(self.users, bool) if law is None else (law > 0) & (getattr(self, f"{side}_hz") > 0)
            if not reachable.all():
                mask &= (bit == 0) | reachable[:, None]
        if not self.edge_capacity > 0:
            mask &= most[2] == 0
        if self.uplink_airtime_max_s is not None:
            mask &= (most[1] == 0) | (self.uplink_airtime_max_s > 0)
        return mask


def evaluate(
    problem: AllocationProblem,
    option: ArrayLike,
    downlink_hz: ArrayLike,
    uplink_hz: ArrayLike,
    edge_share: ArrayLike,
) -> Evaluation:
    """Latency, objective and violation of an allocation; solvers' own figures are never reported.

    Parameters
    ----------
    problem : AllocationProblem
    option : array_like of int, (K,)
        Chosen options.
    downlink_hz, uplink_hz, edge_share : array_like, (K,)
        Shares [Hz, Hz, 1].

    Returns
    -------
    Evaluation
        Latencies [s], objective, and the worst relative violation of a limit [1].

    Raises
    ------
    InvalidInput
        Where an array has another shape, or an option does not exist.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, evaluate
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> evaluate(problem, [0, 0], [0.5e6, 0.5e6], [0.0, 0.0], [0.5, 0.5]).objective_s
    4.5
    >>> evaluate(problem, [0, 1], [2e6, 0.0], [0.0, 0.0], [1.0, 0.0]).violation  # twice the band
    1.0
    """
    users = problem.users
    picked = checks.options("option", option, (users,), problem.options)
    shares = np.empty((3, users))
    for row, (name, value, unit) in enumerate(
        (("downlink_hz", downlink_hz, "Hz"), ("uplink_hz", uplink_hz, "Hz"), ("edge_share", edge_share, "1"))
    ):
        shares[row] = checks.shares(name, value, (users,), unit)
    return evaluate_shares(problem, picked, shares)
