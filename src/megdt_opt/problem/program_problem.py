"""Programs of any shape: tasks that wait for each other, on the device, over the links and at the edge.

The latency of a user is the longest path through the tasks of its option, where a task takes

    fixed + downlink_bit / (part r_d(b_d)),  fixed + uplink_bit / (part r_u(b_u))  or  fixed + edge_work / (part f).

A user has one share of each resource: b_d, b_u and f. A task has the whole share while it runs, part = 1, unless
another of its resource may run at the same time, which is so where neither comes before the other. Tasks that may all
run at once divide the share: their parts sum to at most 1. A link's parts divide its rate, as packets of several
transfers over one link do. So nothing that runs at once uses more than is reserved, whatever the stages take.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.evaluation import Evaluation
from megdt_opt.problem.task_graph import MOST_SETS, TaskGraph, task_graph
from megdt_opt.radio.rates import linear_rate, shannon_rate

Array = NDArray[np.float64]

OBJECTIVES = ("max", "sum")

AMOUNTS = {"downlink_bit": "bit", "uplink_bit": "bit", "edge_work_s": "s"}
"""What tasks ask of the resources, in their order."""

_LAWS = {
    "downlink_efficiency": "bit/s/Hz", "uplink_efficiency": "bit/s/Hz", "downlink_snr_hz": "Hz", "uplink_snr_hz": "Hz",
}  # fmt: skip
_AXES = ("user", "option", "task")


@dataclass(frozen=True, kw_only=True, eq=False)
class ProgramProblem:
    """Options of K users, each a graph of N tasks; places that an option does not fill are tasks without anything.

    Parameters
    ----------
    fixed_s : array_like, (K, O, N)
        Time of a task that no shared resource shortens [s]: computing on the device, a delay after a transfer.
    downlink_bit, uplink_bit : array_like, (K, O, N)
        Payload of a task that is a transfer [bit].
    edge_work_s : array_like, (K, O, N)
        Time of a task on one whole edge server [s]. A task has one of the three at most.
    before : array_like of bool, (K, O, N, N)
        Whether the last axis' task starts only when the other one's has ended. Tasks are numbered in an order in which
        they can run: a task waits for smaller numbers only.
    downlink_hz, uplink_hz : float
        Bands that all users share [Hz].
    edge_capacity : float
        Edge servers [1].
    allowed : array_like of bool, (K, O), optional
        False where a limit that does not depend on the shares rules the option out.
    weight : array_like, (K,), optional
        Weights > 0 [1]; default 1.
    edge_share_max : array_like, (K,), optional
        Most of the edge that a user can use [1]; infinite or left out: no cap.
    downlink_efficiency, uplink_efficiency : array_like, (K,), optional
        Linear rate: r = e b [bit/s/Hz].
    downlink_snr_hz, uplink_snr_hz : array_like, (K,), optional
        Shannon rate: r = b log2(1 + g / b) [Hz]. Exactly one of efficiency and snr for each direction; neither is
        needed for a direction that no option uses.
    objective : str
        "max": max_k w_k L_k; "sum": sum_k w_k L_k.

    Raises
    ------
    InvalidInput
        Where an array has another shape or numbers out of range, a task asks for two resources or waits for one with a
        larger number, or more sets of tasks may run at once than are looked at; the message names field, place, value,
        unit and remedy.

    Examples
    --------
    Upload 1 Mbit while the device computes for 1 s, then 1 s of edge work beside another second on the device; or all
    on the device:

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from megdt_opt import ProgramProblem
    >>> before = np.zeros((1, 2, 4, 4), bool)
    >>> before[0, 0, :2, 2:] = True  # both of the first two come before both of the others
    >>> problem = ProgramProblem(
    ...     fixed_s=[[[0.0, 1.0, 0.0, 1.0], [9.0, 0.0, 0.0, 0.0]]], uplink_bit=[[[1e6, 0.0, 0.0, 0.0], [0.0] * 4]],
    ...     edge_work_s=[[[0.0, 0.0, 1.0, 0.0], [0.0] * 4]], downlink_bit=np.zeros((1, 2, 4)), before=before,
    ...     downlink_hz=0.0, uplink_hz=1e6, uplink_efficiency=[1.0], objective="sum",
    ... )
    >>> problem.users, problem.options, problem.tasks
    (1, 2, 4)
    >>> answer = SimpleNamespace(option=[0], downlink_hz=[0.0], uplink_hz=[1e6], edge_share=[0.5], part=np.ones((1, 4)))
    >>> found = problem.evaluate(answer)
    >>> found.latency_s.tolist(), found.objective_s, found.violation
    ([3.0], 3.0, 0.0)
    """

    fixed_s: NDArray[np.float64]
    downlink_bit: NDArray[np.float64]
    uplink_bit: NDArray[np.float64]
    edge_work_s: NDArray[np.float64]
    before: NDArray[np.bool_]
    downlink_hz: float
    uplink_hz: float
    edge_capacity: float = 1.0
    allowed: NDArray[np.bool_] | None = None
    weight: NDArray[np.float64] | None = None
    edge_share_max: NDArray[np.float64] | None = None
    downlink_efficiency: NDArray[np.float64] | None = None
    uplink_efficiency: NDArray[np.float64] | None = None
    downlink_snr_hz: NDArray[np.float64] | None = None
    uplink_snr_hz: NDArray[np.float64] | None = None
    objective: str = "max"

    def __repr__(self) -> str:
        return f"<ProgramProblem: {self.users} users, {self.options} options, {self.tasks} tasks, {self.objective}>"

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        self._read_tables()
        self._read_users()
        self._read_laws()
        self._refuse_two_resources()
        self._refuse_order()
        self._refuse_crowds()

    # ---- reading

    def _store(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, checks.read_only(value) if isinstance(value, np.ndarray) else value)

    def _read_tables(self) -> None:
        shape = checks.table_shape("fixed_s", self.fixed_s, "s", ("K users", "O options", "N tasks"))
        for name, unit in {"fixed_s": "s", **AMOUNTS}.items():
            self._store(name, checks.numbers(name, getattr(self, name), shape, unit, axes=_AXES, copy=True))
        self._store("before", checks.flags("before", self.before, (*shape, shape[2]), (*_AXES, "task")))
        if self.allowed is not None:
            self._store("allowed", checks.flags("allowed", self.allowed, shape[:2]))
        for name, unit in (("downlink_hz", "Hz"), ("uplink_hz", "Hz"), ("edge_capacity", "1")):
            self._store(name, float(checks.numbers(name, getattr(self, name), (), unit)))

    def _read_users(self) -> None:
        if self.weight is not None:
            self._store("weight", self._of_users("weight", self.weight, "1", zero=False))
        if self.edge_share_max is not None:
            value = checks.plain("edge_share_max", self.edge_share_max, f"numbers [1], shape ({self.users},)")
            value = np.where(value == np.inf, checks.NO_SHARE_CAP, value)
            self._store("edge_share_max", self._of_users("edge_share_max", value, "1", zero=False))

    def _of_users(self, name: str, value: Any, unit: str, *, zero: bool = True) -> Array:
        return checks.numbers(name, value, (self.users,), unit, zero=zero, axes=("user",), copy=True)

    def _read_laws(self) -> None:
        for name, unit in _LAWS.items():
            if getattr(self, name) is not None:
                self._store(name, self._of_users(name, getattr(self, name), unit))
        for side in ("downlink", "uplink"):
            efficiency, snr = getattr(self, f"{side}_efficiency"), getattr(self, f"{side}_snr_hz")
            if efficiency is not None and snr is not None:
                expected = f"exactly one of {side}_efficiency and {side}_snr_hz"
                raise InvalidInput(f"{side}_snr_hz", "given", expected, "Remove one.")
            if efficiency is None and snr is None and getattr(self, f"{side}_bit").any():
                expected = f"{side}_efficiency [bit/s/Hz] or {side}_snr_hz [Hz], because options send over this link"
                raise InvalidInput(f"{side}_efficiency", None, expected, "Add one of them.")

    def _refuse_two_resources(self) -> None:
        wrong = np.argwhere((self.amounts > 0).sum(axis=0) > 1)
        if wrong.size:
            k, o, n = (int(i) for i in wrong[0])
            names = [name for name in AMOUNTS if getattr(self, name)[k, o, n] > 0]
            raise InvalidInput(
                f"{names[1]} (user {k}, option {o}, task {n})", float(getattr(self, names[1])[k, o, n]),
                f"0 [{AMOUNTS[names[1]]}], because the task has {names[0]} and takes one resource at most",
                "Make it two tasks, one before the other.",
            )  # fmt: skip

    def _refuse_order(self) -> None:
        wrong = np.argwhere(self.before & np.tri(self.tasks, dtype=bool))
        if wrong.size:
            k, o, n, m = (int(i) for i in wrong[0])
            raise InvalidInput(
                f"before (user {k}, option {o}, task {n}, task {m})", True,
                "False, as a task waits for tasks with smaller numbers only",
                "Number the tasks in an order in which they can run.",
            )  # fmt: skip

    def _refuse_crowds(self) -> None:
        for k, o in np.argwhere(self.allowed_mask).tolist():
            for crowd in self.graph(k, o).crowds:
                if len(crowd.sets) > MOST_SETS:
                    name = list(AMOUNTS)[crowd.resource]
                    raise InvalidInput(
                        f"before (user {k}, option {o})", f"more than {MOST_SETS} sets of tasks with {name}",
                        f"at most {MOST_SETS} sets [1] of tasks of one resource that may run at once",
                        "Let more of these tasks wait for each other.",
                    )  # fmt: skip

    # ---- shapes and defaults

    @property
    def users(self) -> int:
        """K."""
        return int(self.fixed_s.shape[0])

    @property
    def options(self) -> int:
        """O."""
        return int(self.fixed_s.shape[1])

    @property
    def tasks(self) -> int:
        """N."""
        return int(self.fixed_s.shape[2])

    @property
    def linear(self) -> bool:
        """Whether no direction has a Shannon rate."""
        return self.downlink_snr_hz is None and self.uplink_snr_hz is None

    @cached_property
    def amounts(self) -> Array:
        """What tasks ask of downlink, uplink and edge, (3, K, O, N) [bit, bit, s]."""
        return np.stack([getattr(self, name) for name in AMOUNTS])

    @cached_property
    def budgets(self) -> Array:
        """Downlink, uplink and edge, (3,) [Hz, Hz, 1]."""
        return np.array([self.downlink_hz, self.uplink_hz, self.edge_capacity])

    @cached_property
    def weights(self) -> Array:
        """Weights with their default, (K,) [1]."""
        return np.ones(self.users) if self.weight is None else self.weight

    @cached_property
    def share_caps(self) -> Array:
        """Share caps with their default, (K,) [1]; infinite where there is none."""
        if self.edge_share_max is None:
            return np.full(self.users, np.inf)
        return np.where(self.edge_share_max >= checks.NO_SHARE_CAP, np.inf, self.edge_share_max)

    @cached_property
    def allowed_mask(self) -> NDArray[np.bool_]:
        """`allowed` with its default, (K, O)."""
        return np.ones(self.fixed_s.shape[:2], dtype=bool) if self.allowed is None else self.allowed

    @cached_property
    def demands(self) -> NDArray[np.bool_]:
        """Whether options ask for a resource, (3, K, O)."""
        return np.asarray((self.amounts > 0).any(axis=3))

    @cached_property
    def reached(self) -> NDArray[np.bool_]:
        """Whether a resource carries anything for a user, (3, K)."""
        found = np.broadcast_to((self.budgets > 0)[:, None], (3, self.users)).copy()
        for i, side in enumerate(("downlink", "uplink")):
            law = self.law(side)
            found[i] &= False if law is None else law > 0
        return found

    @cached_property
    def open_options(self) -> NDArray[np.bool_]:
        """Options that are allowed and ask for no resource that carries nothing, (K, O)."""
        return self.allowed_mask & ~(self.demands & ~self.reached[:, :, None]).any(axis=0)

    def law(self, side: str) -> Array | None:
        """Efficiency [bit/s/Hz] or SNR-bandwidth product [Hz] of "downlink" or "uplink", (K,); None without one."""
        found: Array | None = getattr(self, f"{side}_efficiency")
        return getattr(self, f"{side}_snr_hz") if found is None else found

    def rate(self, side: str, band_hz: Array) -> Array:
        """Rates of all users on their bands, (K,) [bit/s]; 0 where a direction has no law."""
        law = self.law(side)
        if law is None:
            return np.zeros(self.users)
        return (linear_rate if getattr(self, f"{side}_snr_hz") is None else shannon_rate)(band_hz, law)

    def graph(self, user: int, option: int) -> TaskGraph:
        """The tasks of an option as a graph."""
        amounts, before = self.amounts[:, user, option], self.before[user, option]
        resource = np.where((amounts > 0).any(axis=0), amounts.argmax(axis=0), -1)
        there = (resource >= 0) | (self.fixed_s[user, option] > 0) | before.any(axis=0) | before.any(axis=1)
        return task_graph(before, resource, there)

    def even_parts(self, option: NDArray[np.int64]) -> Array:
        """Parts (K, N) with which tasks of options (K,) that may run at once divide a share evenly."""
        part = np.ones((self.users, self.tasks))
        for k, o in enumerate(option.tolist()):
            graph = self.graph(k, o)
            for crowd in graph.crowds:
                most = max(len(one) for one in crowd.sets)
                part[k, [graph.shared[node - 1] for node in crowd.nodes]] = 1.0 / most
        return part

    # ---- the truth

    def evaluate(self, answer: Any) -> Evaluation:
        """Latency, objective and violation of an answer; solvers' own figures are never reported.

        Parameters
        ----------
        answer : object
            With `option` (K,), the users' shares `downlink_hz`, `uplink_hz` [Hz] and `edge_share` [1] (K,), and `part`
            (K, N), which part of its user's share each task of the option gets while it runs [1]; of tasks that ask for
            nothing it is not looked at.

        Returns
        -------
        Evaluation
            Latencies [s], objective, and the worst relative violation of a budget, a cap, or of the sum of the parts of
            tasks that may run at once [1]; infinite for an option that is not allowed, and for a share or part that is
            negative or not a number.

        Raises
        ------
        InvalidInput
            Where a decision is missing, has another shape, or an option does not exist.
        """
        names = ("option", "downlink_hz", "uplink_hz", "edge_share", "part")
        option, *given, part = checks.decisions(answer, names)
        option = checks.options("option", option, (self.users,), self.options)
        shares = np.stack([
            checks.shares(name, one, (self.users,), unit)
            for name, one, unit in zip(names[1:4], given, ("Hz", "Hz", "1"), strict=True)
        ])  # fmt: skip
        part = checks.shares("part", part, (self.users, self.tasks), "1")
        rows = np.arange(self.users)
        amounts = self.amounts[:, rows, option]
        used = (amounts > 0).any(axis=0)
        speeds = np.maximum(shares, 0.0)
        for i, side in enumerate(("downlink", "uplink")):
            speeds[i] = self.rate(side, speeds[i])
        part = np.where(used, part, 1.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            pace = speeds[:, :, None] * np.maximum(part, 0.0)
            taken = np.where(amounts > 0, amounts / np.where(amounts > 0, pace, 1.0), 0.0).sum(axis=0)
        latency = self._longest(option, self.fixed_s[rows, option] + taken)
        holds = bool(np.all(shares >= 0)) and bool(np.all(part >= 0)) and bool(self.allowed_mask[rows, option].all())
        over = [_over(shares.sum(axis=1), self.budgets), _over(shares[2], self.share_caps), _over(part, np.ones(1))]
        for k, o in enumerate(option.tolist()):
            graph = self.graph(k, o)
            tasks = np.array(graph.shared, dtype=np.int64)
            for crowd in graph.crowds:
                together = np.array([part[k, tasks[np.array(one) - 1]].sum() for one in crowd.sets])
                over.append(_over(together, np.ones(1)))
        weighted = self.weights * latency
        return Evaluation(
            latency_s=latency,
            objective_s=float(weighted.max() if self.objective == "max" else weighted.sum()),
            violation=max(over) if holds else np.inf,
        )

    def _longest(self, option: NDArray[np.int64], task_s: Array) -> Array:
        """The longest path through tasks that take given times (K, N), (K,) [s]."""
        before = self.before[np.arange(self.users), option]
        end = np.zeros(task_s.shape)
        for n in range(self.tasks):
            end[:, n] = np.where(before[:, :, n], end, 0.0).max(axis=1) + task_s[:, n]
        return np.asarray(end.max(axis=1))


def _over(values: NDArray[Any], limits: Array) -> float:
    """By how much, relatively, the worst value is over its limit; what is no number is over any."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        over = np.where(values <= limits, 0.0, np.where(limits > 0, (values - limits) / limits, np.inf))
    return float(np.where(np.isnan(over), np.inf, over).max(initial=0.0))
