"""One edge server whose chains share forward passes: a step of X chains takes a X + b, and chains join and leave.

L_k = C_k + (N - n_k) device_step + after + [n_k > 0] downlink_bit / rate_d(b_k),

with `local_after` in place of `after` at n_k = 0, and `hand_over` beside it at 0 < n_k < N, where they are given; C_k
is the end of the user's last batch (0 at n_k = 0), and the sum of the b_k is within the band. Not to be confused with
`BatchProblem`, which is many scenarios at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.evaluation import Evaluation
from megdt_opt.radio.rates import linear_rate, shannon_rate
from megdt_opt.values import integer

Array = NDArray[np.float64]

OBJECTIVES = ("max", "sum", "quality")

_LAWS = {"downlink_efficiency": "bit/s/Hz", "downlink_snr_hz": "Hz"}
_OF_QUALITY = ("quality", "deadline_s")

Batches = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class QualityEvaluation:
    """An answer to a problem of "quality", computed in plain NumPy.

    Parameters
    ----------
    latency_s : array, (K,)
        End of the edge steps, what follows and the download [s]; 0 for a user without steps, infinite where a demanded
        share is zero.
    objective : float
        sum_k w_k quality[k, n_k], as the steps earn it [1].
    violation : float
        Worst relative violation of the band or a deadline; infinite for what cannot be; 0 where everything holds.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from megdt_opt import BatchedEdgeProblem
    >>> problem = BatchedEdgeProblem(
    ...     steps=2, step_slope_s=0.2, step_base_s=0.3, downlink_bit=[0.0, 0.0], downlink_hz=1e6, objective="quality",
    ...     quality=[[0.0, 1.0, 1.5], [0.0, 2.0, 2.5]], deadline_s=[1.0, 2.0],
    ... )
    >>> answer = SimpleNamespace(cut=[1, 2], batches=((0, 1), (1,)), downlink_hz=[0.0, 0.0])
    >>> found = problem.evaluate(answer)
    >>> [round(one, 6) for one in found.latency_s.tolist()], found.objective, found.violation
    ([0.7, 1.2], 3.5, 0.0)
    """

    latency_s: Array
    objective: float
    violation: float


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchedEdgeProblem:
    """Chains of K users on an edge server that makes a step of several of them in one forward pass.

    The edge makes the first n_k of the N steps of user k, the device the rest. `BatchProblem` is something else: many
    scenarios that are solved at once.

    Parameters
    ----------
    steps : int
        Denoising steps of each chain, N [1].
    step_slope_s, step_base_s : float
        A step of X chains takes step_slope_s X + step_base_s [s]; each at least 0, not both 0.
    downlink_bit : array_like, (K,)
        What is sent to a user after its last edge step [bit].
    downlink_hz : float
        Band that the users share [Hz]. A band of zero closes all cuts above 0 of users with bits.
    device_step_s : array_like, (K,), optional
        A step on the user's device [s]. In "quality" 0 or left out: there the device makes none.
    after_s : array_like, (K,), optional
        What follows the steps and no share shortens [s]; in "quality" it may be left out or 0.
    local_after_s : array_like, (K,), optional
        What stands in place of `after_s` for a user without edge steps [s], such as its device's encoding of the
        prompt; default `after_s`, and at most `after_s + hand_over_s + edge_start_s` where the edge may make a part of
        the steps: no device begins its own sooner for being served. Not in "quality".
    hand_over_s : array_like, (K,), optional
        What a device that makes the rest of the steps does first [s], such as encoding the prompt for itself: after
        the download, at 0 < n_k < N alone; default 0. Not in "quality".
    downlink_efficiency, downlink_snr_hz : array_like, (K,), optional
        Linear rate r = e b [bit/s/Hz], or Shannon rate r = b log2(1 + g / b) [Hz]: exactly one, where bits are sent.
    weight : array_like, (K,), optional
        Weights > 0 [1]; default 1.
    cut_allowed : array_like of bool, (K, N + 1), optional
        Whether the edge may make so many of the user's steps; default all.
    edge_start_s : float, optional
        No batch starts before [s]; default 0. It counts for users with edge steps alone.
    quality : array_like, (K, N + 1), optional
        What n steps of a user are worth [1], of any sign; only in "quality", and needed there.
    deadline_s : array_like, (K,), optional
        In "quality": the latest C_k + after_s + download of a user with steps [s]; infinite for none.
    objective : str
        "max": max_k w_k L_k; "sum": sum_k w_k L_k; "quality": sum_k w_k quality[k, n_k], which is maximised.

    Raises
    ------
    InvalidInput
        Where a number is out of its range, an array has another shape, a field does not fit the objective, or a user
        is left without any cut that could be kept if it were alone; names field, place, value, unit and remedy.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from megdt_opt import BatchedEdgeProblem
    >>> problem = BatchedEdgeProblem(  # two steps: together 0.6 s a step, alone 0.4 s
    ...     steps=2, step_slope_s=0.2, step_base_s=0.2, device_step_s=[2.0, 3.0], after_s=[0.0, 0.0],
    ...     downlink_bit=[1e6, 1e6], downlink_hz=1e6, downlink_efficiency=[2.0, 2.0], objective="sum",
    ... )
    >>> problem.users, problem.steps
    (2, 2)
    >>> answer = SimpleNamespace(cut=[2, 1], batches=((0, 1), (0,)), downlink_hz=[5e5, 5e5])
    >>> found = problem.evaluate(answer)
    >>> [round(one, 6) for one in found.latency_s.tolist()], round(found.objective_s, 6), found.violation
    ([2.0, 4.6], 6.6, 0.0)
    """

    steps: int
    step_slope_s: float
    step_base_s: float
    downlink_bit: NDArray[np.float64]
    downlink_hz: float
    device_step_s: NDArray[np.float64] | None = None
    after_s: NDArray[np.float64] | None = None
    local_after_s: NDArray[np.float64] | None = None
    hand_over_s: NDArray[np.float64] | None = None
    downlink_efficiency: NDArray[np.float64] | None = None
    downlink_snr_hz: NDArray[np.float64] | None = None
    weight: NDArray[np.float64] | None = None
    cut_allowed: NDArray[np.bool_] | None = None
    edge_start_s: float | None = None
    quality: NDArray[np.float64] | None = None
    deadline_s: NDArray[np.float64] | None = None
    objective: str = "max"

    def __repr__(self) -> str:
        return f"<BatchedEdgeProblem: {self.users} users, {self.steps} steps, {self.objective}>"

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        self._read_law_of_steps()
        shape = checks.table_shape("downlink_bit", self.downlink_bit, "bit", ("K users",))
        self._numbers("downlink_bit", shape, "bit")
        self._store("downlink_hz", float(checks.numbers("downlink_hz", self.downlink_hz, (), "Hz")))
        for name in ("device_step_s", "after_s"):
            self._read_time(name, shape)
        if self.weight is not None:
            self._numbers("weight", shape, "1", zero=False)
        if self.cut_allowed is not None:
            allowed = checks.flags("cut_allowed", self.cut_allowed, (*shape, self.steps + 1), ("user", "cut"))
            self._store("cut_allowed", checks.read_only(allowed))
        self._read_rates(shape)
        self._read_quality(shape)
        self._read_local(shape)
        self._refuse_stranded()

    # ---- reading

    def _store(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _numbers(self, name: str, shape: tuple[int, ...], unit: str, *, zero: bool = True) -> None:
        found = checks.numbers(name, getattr(self, name), shape, unit, zero=zero, axes=("user",), copy=True)
        self._store(name, checks.read_only(found))

    def _read_law_of_steps(self) -> None:
        steps = integer(self.steps)
        if steps is None or steps < 1:
            raise InvalidInput("steps", self.steps, "an integer of at least 1 [1]", "Give the number of steps, N.")
        self._store("steps", steps)
        for name in ("step_slope_s", "step_base_s"):
            self._store(name, float(checks.numbers(name, getattr(self, name), (), "s")))
        if self.step_slope_s == self.step_base_s == 0:
            raise InvalidInput(
                "step_slope_s", 0.0, "above 0 [s], for step_base_s is 0 as well", "Give the time that a step takes."
            )
        if self.edge_start_s is not None:
            self._store("edge_start_s", float(checks.numbers("edge_start_s", self.edge_start_s, (), "s")))

    def _read_time(self, name: str, shape: tuple[int, ...]) -> None:
        value, scored = getattr(self, name), self.objective == "quality"
        if value is None and not scored:
            raise InvalidInput(name, None, f"numbers [s], shape {shape}", "Add the field.")
        if value is None:
            return
        if scored and checks.plain(name, value, f"numbers [s], shape {shape}").shape == ():
            value = np.full(shape, float(checks.numbers(name, value, (), "s")))
            self._store(name, value)
        self._numbers(name, shape, "s")
        if name == "device_step_s" and scored and getattr(self, name).any():
            k = int(np.flatnonzero(getattr(self, name))[0])
            raise InvalidInput(
                f"{name} (user {k})", float(getattr(self, name)[k]),
                '0 [s] for objective "quality", in which devices make no steps', "Leave the field out.",
            )  # fmt: skip

    def _read_rates(self, shape: tuple[int, ...]) -> None:
        for name, unit in _LAWS.items():
            if getattr(self, name) is not None:
                self._numbers(name, shape, unit)
        efficiency, snr = self.downlink_efficiency, self.downlink_snr_hz
        if efficiency is not None and snr is not None:
            expected = "exactly one of downlink_efficiency and downlink_snr_hz"
            raise InvalidInput("downlink_snr_hz", "given", expected, "Remove one.")
        if efficiency is None and snr is None and self.downlink_bit.any():
            expected = "downlink_efficiency [bit/s/Hz] or downlink_snr_hz [Hz], because results are sent"
            raise InvalidInput("downlink_efficiency", None, expected, "Add one of them.")

    def _read_quality(self, shape: tuple[int, ...]) -> None:
        if self.objective != "quality":
            for name in _OF_QUALITY:
                if getattr(self, name) is not None:
                    expected = f'nothing for objective "{self.objective}"'
                    raise InvalidInput(name, "given", expected, 'Leave it out, or ask for objective "quality".')
            return
        table = (*shape, self.steps + 1)
        expected = f"finite numbers [1], shape {table}"
        if self.quality is None:
            raise InvalidInput("quality", None, f"{expected}, for each number of steps from 0 to N", "Add the field.")
        found = checks.plain("quality", self.quality, expected)
        if found.shape != table:
            raise InvalidInput("quality", found.shape, expected, "Give the worth of 0 to N steps for each user.")
        worth = found.astype(np.float64)
        wrong = np.argwhere(~(np.abs(worth) <= checks.LARGEST))
        if wrong.size:
            k, n = (int(i) for i in wrong[0])
            raise InvalidInput(
                f"quality (user {k}, steps {n})", float(worth[k, n]),
                f"a finite number [1] of size at most {checks.LARGEST:g}", "Rule the cut out by cut_allowed.",
            )  # fmt: skip
        self._store("quality", checks.read_only(worth))
        if self.deadline_s is None:
            raise InvalidInput("deadline_s", None, f"numbers [s], shape {shape}; infinite for none", "Add the field.")
        value = checks.plain("deadline_s", self.deadline_s, f"numbers [s], shape {shape}")
        self._store("deadline_s", np.where(value == np.inf, checks.NO_DEADLINE_S, value))
        self._numbers("deadline_s", shape, "s", zero=False)

    def _read_local(self, shape: tuple[int, ...]) -> None:
        for name in ("local_after_s", "hand_over_s"):
            if getattr(self, name) is None:
                continue
            if self.objective == "quality":
                expected = 'nothing for objective "quality", in which users without steps have no latency'
                raise InvalidInput(name, "given", expected, "Leave it out.")
            self._numbers(name, shape, "s")
        most_s = self.rest_s + self.handed_s + self.start_s
        over = (self.local_rest_s > most_s) & self.allowed_mask[:, 1:-1].any(axis=1)
        for k in np.flatnonzero(over).tolist():
            raise InvalidInput(
                f"local_after_s (user {k})", float(self.local_rest_s[k]),
                f"at most {float(most_s[k]):.6g} [s], after_s + hand_over_s + edge_start_s, for cut_allowed lets the "
                "edge make a part of the steps",
                "Give in hand_over_s what the device does before it makes the rest.",
            )  # fmt: skip

    def _refuse_stranded(self) -> None:
        stranded = np.flatnonzero(~self.open_cuts.any(axis=1))
        if not stranded.size:
            return
        k = int(stranded[0])
        allowed = self.allowed_mask[k]
        if not allowed.any():
            raise InvalidInput(
                f"cut_allowed (user {k})",
                False,
                "at least one cut that is allowed",
                "Allow one, or leave out the user.",
            )
        remedy = f"Allow cut 0 for user {k}, or leave out the user."
        if not self.reached[k]:
            name, unit = ("downlink_hz", "Hz") if self.downlink_hz == 0 else (self._law_name, _LAWS[self._law_name])
            place = name if name == "downlink_hz" else f"{name} (user {k})"
            raise InvalidInput(
                place, 0.0, f"above 0 [{unit}], for user {k} must be served at the edge (cut_allowed) and gets bits",
                remedy,
            )  # fmt: skip
        n = int(np.flatnonzero(allowed)[0])
        needed = self.soonest_s[k, n]
        raise InvalidInput(
            f"deadline_s (user {k})", float(self.hard_deadline_s[k]),
            f"at least {needed:.6g} [s], when {n} steps end if the user is alone, for it must make them (cut_allowed)",
            f"Raise the deadline. {remedy}",
        )  # fmt: skip

    # ---- shapes and defaults

    @property
    def users(self) -> int:
        """K."""
        return int(self.downlink_bit.shape[0])

    @property
    def start_s(self) -> float:
        """`edge_start_s` with its default [s]."""
        return 0.0 if self.edge_start_s is None else self.edge_start_s

    @cached_property
    def weights(self) -> Array:
        """Weights with their default, (K,) [1]."""
        return np.ones(self.users) if self.weight is None else self.weight

    @cached_property
    def steps_s(self) -> Array:
        """`device_step_s` with its default, (K,) [s]."""
        return np.zeros(self.users) if self.device_step_s is None else self.device_step_s

    @cached_property
    def rest_s(self) -> Array:
        """`after_s` with its default, (K,) [s]."""
        return np.zeros(self.users) if self.after_s is None else self.after_s

    @cached_property
    def local_rest_s(self) -> Array:
        """`local_after_s` with its default, (K,) [s]."""
        return self.rest_s if self.local_after_s is None else self.local_after_s

    @cached_property
    def handed_s(self) -> Array:
        """`hand_over_s` with its default, (K,) [s]."""
        return np.zeros(self.users) if self.hand_over_s is None else self.hand_over_s

    @cached_property
    def allowed_mask(self) -> NDArray[np.bool_]:
        """`cut_allowed` with its default, (K, N + 1)."""
        return np.ones((self.users, self.steps + 1), dtype=bool) if self.cut_allowed is None else self.cut_allowed

    @cached_property
    def hard_deadline_s(self) -> Array:
        """Deadlines of "quality", (K,) [s]; infinite where there is none."""
        if self.deadline_s is None:
            return np.full(self.users, np.inf)
        return np.where(self.deadline_s >= checks.NO_DEADLINE_S, np.inf, self.deadline_s)

    @property
    def linear(self) -> bool:
        """Whether the rates are linear."""
        return self.downlink_snr_hz is None

    @property
    def _law_name(self) -> str:
        return "downlink_efficiency" if self.linear else "downlink_snr_hz"

    @cached_property
    def law(self) -> Array:
        """Efficiencies [bit/s/Hz] or SNR-bandwidth products [Hz], (K,); 0 where neither is given."""
        found = getattr(self, self._law_name)
        return np.zeros(self.users) if found is None else found

    @cached_property
    def reached(self) -> NDArray[np.bool_]:
        """Whether a user's bits, if it has any, can be sent at all, (K,)."""
        return np.asarray((self.downlink_bit == 0) | ((self.law > 0) & (self.downlink_hz > 0)))

    @cached_property
    def soonest_s(self) -> Array:
        """End of the download after n steps of a user who has the edge and the band alone, (K, N + 1) [s]."""
        n = np.arange(self.steps + 1)
        done = self.start_s + n * (self.step_slope_s + self.step_base_s)
        alone = self.download_s(np.full(self.users, self.downlink_hz))
        return np.where(n > 0, done + (self.rest_s + alone)[:, None], 0.0)

    @cached_property
    def open_cuts(self) -> NDArray[np.bool_]:
        """Cuts that are allowed and that a user could keep if it were alone, (K, N + 1)."""
        mask = self.allowed_mask & (self.reached[:, None] | (np.arange(self.steps + 1) == 0))
        if self.objective == "quality":
            mask &= self.soonest_s <= checks.on_time(self.hard_deadline_s)[:, None]
        return np.asarray(mask)

    def download_s(self, band_hz: Array) -> Array:
        """Seconds of the downloads on bands, (K,); 0 without bits, infinite on no band."""
        rate = (linear_rate if self.linear else shannon_rate)(np.maximum(band_hz, 0.0), self.law)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where(self.downlink_bit > 0, self.downlink_bit / np.where(self.downlink_bit > 0, rate, 1.0), 0.0)

    # ---- the truth

    def evaluate(self, answer: Any) -> Evaluation | QualityEvaluation:
        """Latency, objective and violation of an answer; solvers' own figures are never reported.

        Parameters
        ----------
        answer : object
            With `cut` (K,), the edge steps of each user; `batches`, the users of each batch in the order of time; and
            `downlink_hz` (K,) [Hz].

        Returns
        -------
        Evaluation or QualityEvaluation
            Latencies [s], objective, and the worst relative violation of the band, or of a deadline, [1]; infinite for
            a cut that is not allowed, a user who is not in as many batches as its cut says, and a share that is
            negative or not a number.

        Raises
        ------
        InvalidInput
            Where a decision is missing, has another shape, a cut or user does not exist, or a batch is empty or its
            users are not ascending.
        """
        cut, batches, band = checks.decisions(answer, ("cut", "batches", "downlink_hz"))
        remedy = "Give each user the number of steps that the edge makes."
        cut = checks.options("cut", cut, (self.users,), self.steps + 1, remedy)
        band = checks.shares("downlink_hz", band, (self.users,), "Hz")
        ends, made = self._ends(read_batches(batches, self.users))
        at = cut > 0
        holds = bool((made == cut).all() and np.all(band >= 0) and self.allowed_mask[np.arange(self.users), cut].all())
        latency = np.where(at, ends + self.rest_s + self.download_s(band), 0.0)
        over = [_over(np.array([band.sum()]), np.array([self.downlink_hz]))]
        if self.objective == "quality":
            assert self.quality is not None
            over.append(_over(latency, self.hard_deadline_s))
            value = float(self.weights @ self.quality[np.arange(self.users), cut])
            return QualityEvaluation(latency_s=latency, objective=value, violation=max(over) if holds else np.inf)
        begun = np.where(at, np.where(cut < self.steps, self.handed_s, 0.0), self.local_rest_s)
        latency = latency + (self.steps - cut) * self.steps_s + begun
        weighted = self.weights * latency
        return Evaluation(
            latency_s=latency,
            objective_s=float(weighted.max() if self.objective == "max" else weighted.sum()),
            violation=max(over) if holds else np.inf,
        )

    def _ends(self, batches: Batches) -> tuple[Array, NDArray[np.int64]]:
        """End of each user's last batch (K,) [s], 0 without any, and in how many batches it is."""
        end, made, now = np.zeros(self.users), np.zeros(self.users, dtype=np.int64), self.start_s
        steps = 0
        for j, batch in enumerate(batches):
            steps += len(batch)
            now = self.start_s + self.step_slope_s * steps + self.step_base_s * (j + 1)
            end[list(batch)] = now
            made[list(batch)] += 1
        return end, made


def read_batches(value: Any, users: int) -> Batches:
    """Batches of users who exist, none empty, ascending; raises InvalidInput otherwise."""
    expected = f"batches of users from 0 to {users - 1}, ascending, none of them empty"
    remedy = "List the users of each batch in the order of time."
    if not isinstance(value, tuple | list):
        raise InvalidInput("batches", type(value).__name__, expected, remedy)
    found = []
    for j, batch in enumerate(value):
        if not isinstance(batch, tuple | list | np.ndarray):
            raise InvalidInput(f"batches (batch {j})", batch, expected, remedy)
        members = tuple(integer(k) for k in batch)
        good = tuple(k for k in members if k is not None and 0 <= k < users)
        if len(good) < len(members) or not good or any(b <= a for a, b in pairwise(good)):
            raise InvalidInput(f"batches (batch {j})", list(batch), expected, remedy)
        found.append(good)
    return tuple(found)


def _over(values: Array, limits: Array) -> float:
    """By how much, relatively, the worst value is over its limit; what is no number is over any."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        over = np.where(values <= limits, 0.0, np.where(limits > 0, (values - limits) / limits, np.inf))
    return float(np.where(np.isnan(over), np.inf, over).max(initial=0.0))
