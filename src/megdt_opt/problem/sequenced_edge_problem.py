"""One edge server that serves whole chains one after another, in an order that is decided.

L_k = start_k + edge_work + after + downlink_bit / rate_d(b_k),    start_k >= release, and >= the end of the one before,

and without edge work L_k = release + after + downlink_bit / rate_d(b_k), without a turn; sum b_k <= downlink_hz. The
server works at full speed, without interruption, and may wait for a release. A group may have a prefix: one chain more,
ready at 0, that is served before the edge work of any of the group's members.
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
from megdt_opt.radio.rates import linear_rate, shannon_rate

Array = NDArray[np.float64]

OBJECTIVES = ("max", "sum")

NO_GROUP = -1
"""The group of a user that is in none."""

_TABLES = {"release_s": "s", "edge_work_s": "s", "after_s": "s", "downlink_bit": "bit"}
_LAWS = {"downlink_efficiency": "bit/s/Hz", "downlink_snr_hz": "Hz"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SequencedEdgeProblem:
    """Options of K users at one edge server that serves their chains in turns.

    Parameters
    ----------
    release_s : array_like, (K, O)
        When the chain is ready for the edge [s]: work of the device before, and the uplink.
    edge_work_s : array_like, (K, O)
        Time of the turn on the whole server [s]; 0 = no turn.
    after_s : array_like, (K, O)
        What follows the turn besides the download [s].
    downlink_bit : array_like, (K, O)
        Payload of the download [bit].
    downlink_hz : float
        Band that all downloads share [Hz]. A band of zero closes the options that demand it.
    downlink_efficiency : array_like, (K,), optional
        Linear rate: r = e b [bit/s/Hz].
    downlink_snr_hz : array_like, (K,), optional
        Shannon rate: r = b log2(1 + g / b) [Hz]. Exactly one of the two, unless no option downloads anything.
    allowed : array_like of bool, (K, O), optional
        False where a limit that does not depend on order and shares rules the option out.
    weight : array_like, (K,), optional
        Weights > 0 [1]; default 1.
    group : array_like of int, (K,), optional
        Group of each user, 0 to G - 1, whose prefix is served before the user's edge work; -1 for none.
    prefix_work_s : array_like, (G,), optional
        Time of each group's prefix on the whole server [s]; goes with `group`.
    prefix_weight : array_like, (G,), optional
        Weights of the prefixes' ends in "sum" [1]; default 0. "max" is about users alone.
    objective : str
        "max": max_k w_k L_k; "sum": sum_k w_k L_k + sum_g prefix_weight_g (end of the prefix of g).

    Raises
    ------
    InvalidInput
        Where an array has another shape or numbers out of range, a group is named that has no prefix, or a user is
        left without any option; the message names field, place, value, unit and remedy.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from megdt_opt import SequencedEdgeProblem
    >>> problem = SequencedEdgeProblem(  # two users: 2 s at the edge, or alone on the device
    ...     release_s=[[0.0, 5.0], [0.5, 9.0]], edge_work_s=[[2.0, 0.0]] * 2, after_s=[[0.0, 0.0]] * 2,
    ...     downlink_bit=[[1e6, 0.0]] * 2, downlink_hz=1e6, downlink_efficiency=[2.0, 2.0], objective="sum",
    ... )
    >>> answer = SimpleNamespace(option=[0, 0], order=[0, 1], start_s=[0.0, 2.0], downlink_hz=[5e5, 5e5])
    >>> found = problem.evaluate(answer)
    >>> found.latency_s.tolist(), found.objective_s, found.violation
    ([3.0, 5.0], 8.0, 0.0)
    """

    release_s: NDArray[np.float64]
    edge_work_s: NDArray[np.float64]
    after_s: NDArray[np.float64]
    downlink_bit: NDArray[np.float64]
    downlink_hz: float
    downlink_efficiency: NDArray[np.float64] | None = None
    downlink_snr_hz: NDArray[np.float64] | None = None
    allowed: NDArray[np.bool_] | None = None
    weight: NDArray[np.float64] | None = None
    group: NDArray[np.int64] | None = None
    prefix_work_s: NDArray[np.float64] | None = None
    prefix_weight: NDArray[np.float64] | None = None
    objective: str = "max"

    def __repr__(self) -> str:
        return f"<SequencedEdgeProblem: {self.users} users, {self.options} options, {self.objective}>"

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        shape = checks.table_shape("release_s", self.release_s, "s", ("K users", "O options"))
        for name, unit in _TABLES.items():
            self._numbers(name, shape, unit, ("user", "option"))
        if self.allowed is not None:
            self._store("allowed", checks.flags("allowed", self.allowed, shape))
        band_hz = float(checks.numbers("downlink_hz", self.downlink_hz, (), "Hz"))
        object.__setattr__(self, "downlink_hz", band_hz)
        if self.weight is not None:
            self._numbers("weight", (self.users,), "1", ("user",), zero=False)
        self._read_laws()
        self._read_groups()
        self._refuse_stranded()

    # ---- reading

    def _store(self, name: str, value: NDArray[Any]) -> None:
        object.__setattr__(self, name, checks.read_only(value))

    def _numbers(
        self, name: str, shape: tuple[int, ...], unit: str, axes: tuple[str, ...], *, zero: bool = True
    ) -> None:
        self._store(name, checks.numbers(name, getattr(self, name), shape, unit, zero=zero, axes=axes, copy=True))

    def _read_laws(self) -> None:
        given = [name for name in _LAWS if getattr(self, name) is not None]
        if len(given) == 2:
            expected = "exactly one of downlink_efficiency and downlink_snr_hz"
            raise InvalidInput("downlink_snr_hz", "given", expected, "Remove one.")
        if not given and self.downlink_bit.any():
            expected = "downlink_efficiency [bit/s/Hz] or downlink_snr_hz [Hz], because options send over this link"
            raise InvalidInput("downlink_efficiency", None, expected, "Add one of them.")
        for name in given:
            self._numbers(name, (self.users,), _LAWS[name], ("user",))

    def _read_groups(self) -> None:
        for name, other in (("group", "prefix_work_s"), ("prefix_work_s", "group"), ("prefix_weight", "prefix_work_s")):
            if getattr(self, name) is not None and getattr(self, other) is None:
                raise InvalidInput(other, None, f"an array, for {name} is given", f"Add it, or leave out {name}.")
        if self.group is None:
            return
        shape = checks.plain("prefix_work_s", self.prefix_work_s, "numbers [s], shape (G groups,)").shape
        if len(shape) != 1 or not shape[0]:
            expected = "one time for each group [s], shape (G,)"
            raise InvalidInput("prefix_work_s", shape, expected, "Give a list of them.")
        self._numbers("prefix_work_s", shape, "s", ("group",))
        if self.prefix_weight is not None:
            self._numbers("prefix_weight", shape, "1", ("group",))
        expected = f"a group from 0 to {shape[0] - 1} [1], -1 for none"
        found = checks.plain("group", self.group, f"{expected}, shape ({self.users},)")
        if found.shape != (self.users,) or found.dtype.kind not in "iu":
            given = found.shape if found.shape != (self.users,) else f"an array of {found.dtype}"
            raise InvalidInput(
                "group", given, f"integers, each {expected}, shape ({self.users},)", "Give such an array."
            )
        wrong = np.flatnonzero((found < NO_GROUP) | (found >= shape[0]))
        if wrong.size:
            k = int(wrong[0])
            raise InvalidInput(f"group (user {k})", int(found[k]), expected, "Name a group that has a prefix, or -1.")
        self._store("group", found.astype(np.int64))

    def _refuse_stranded(self) -> None:
        stranded = np.flatnonzero(~self.open_options.any(axis=1))
        if not stranded.size:
            return
        k = int(stranded[0])
        if not self.allowed_mask[k].any():
            raise InvalidInput(
                f"allowed (user {k})", False, "at least one option that is allowed", "Allow one, or leave out the user."
            )
        name, unit = "downlink_hz", "Hz"
        if self.downlink_hz > 0:
            name = "downlink_efficiency" if self.downlink_snr_hz is None else "downlink_snr_hz"
            unit = _LAWS[name]
        raise InvalidInput(
            name if name == "downlink_hz" else f"{name} (user {k})", 0.0,
            f"more than that [{unit}], because every allowed option of user {k} downloads something",
            "Raise it, or give the user an option without a download.",
        )  # fmt: skip

    # ---- shapes and defaults

    @property
    def users(self) -> int:
        """K."""
        return int(self.release_s.shape[0])

    @property
    def options(self) -> int:
        """O."""
        return int(self.release_s.shape[1])

    @property
    def groups(self) -> int:
        """G; 0 without prefixes."""
        return 0 if self.prefix_work_s is None else int(self.prefix_work_s.shape[0])

    @cached_property
    def weights(self) -> Array:
        """Weights with their default, (K,) [1]."""
        return np.ones(self.users) if self.weight is None else self.weight

    @cached_property
    def group_of(self) -> NDArray[np.int64]:
        """`group` with its default, (K,)."""
        return np.full(self.users, NO_GROUP) if self.group is None else self.group

    @cached_property
    def prefix_works(self) -> Array:
        """`prefix_work_s` with its default, (G,) [s]."""
        return np.zeros(0) if self.prefix_work_s is None else self.prefix_work_s

    @cached_property
    def prefix_weights(self) -> Array:
        """What the ends of prefixes count in the objective, (G,) [1]; 0 for "max"."""
        if self.prefix_weight is None or self.objective == "max":
            return np.zeros(self.groups)
        return self.prefix_weight

    @cached_property
    def allowed_mask(self) -> NDArray[np.bool_]:
        """`allowed` with its default, (K, O)."""
        return np.ones(self.release_s.shape, dtype=bool) if self.allowed is None else self.allowed

    @cached_property
    def law(self) -> Array:
        """Efficiency [bit/s/Hz] or SNR-bandwidth product [Hz], (K,); 0 where neither is given."""
        found = self.downlink_snr_hz if self.downlink_efficiency is None else self.downlink_efficiency
        return np.zeros(self.users) if found is None else found

    @cached_property
    def open_options(self) -> NDArray[np.bool_]:
        """Options that are allowed and download nothing that cannot be sent, (K, O)."""
        reached = (self.law > 0) & (self.downlink_hz > 0)
        return np.asarray(self.allowed_mask & ((self.downlink_bit == 0) | reached[:, None]))

    # ---- the truth

    def evaluate(self, answer: Any) -> Evaluation:
        """Latency, objective and violation of an answer; solvers' own figures are never reported.

        Parameters
        ----------
        answer : object
            With `option` (K,); `order`, the chains that are served, first to last: k for user k, K + g for the prefix
            of group g; `start_s` (K,) [s], read for users with a turn; `downlink_hz` (K,) [Hz]; and with groups, and
            only then, `prefix_start_s` (G,) [s], read for prefixes that are served.

        Returns
        -------
        Evaluation
            Latencies [s], objective, and the worst relative violation of a release, of the end of the one before, or of
            the band [1]; infinite for an option that is not allowed, edge work without a turn or before its group's
            prefix, a turn without edge work, a prefix that no member's edge work follows, and a share or a start that
            is negative or not a number.

        Raises
        ------
        InvalidInput
            Where a decision is missing, has another shape or is not the problem's, or an option or a chain does not
            exist.
        """
        names = ("option", "order", "start_s", "downlink_hz", *(["prefix_start_s"] if self.groups else []))
        option, order, start, band, *rest = checks.decisions(answer, names)
        option = checks.options("option", option, (self.users,), self.options)
        start = checks.shares("start_s", start, (self.users,), "s")
        band = checks.shares("downlink_hz", band, (self.users,), "Hz")
        begin = np.concatenate([start, *(checks.shares("prefix_start_s", one, (self.groups,), "s") for one in rest)])
        order = self._chains(order)
        rows = np.arange(self.users)
        work = np.concatenate([self.edge_work_s[rows, option], self.prefix_works])
        ready = np.concatenate([self.release_s[rows, option], np.zeros(self.groups)])
        end = begin + work
        turn = work[: self.users] > 0
        bits = self.downlink_bit[rows, option]
        rate = (linear_rate if self.downlink_snr_hz is None else shannon_rate)(np.maximum(band, 0.0), self.law)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            sending = np.where(bits > 0, bits / np.where(bits > 0, rate, 1.0), 0.0)
        latency = np.where(turn, end[: self.users], ready[: self.users]) + self.after_s[rows, option] + sending
        latency = np.where(np.isnan(latency), np.inf, latency)
        least = ready[order]
        least[1:] = np.maximum(least[1:], end[order[:-1]])
        late = _short(begin[order], least)
        over = max(float(band.sum()) - self.downlink_hz, 0.0)
        over = 0.0 if over == 0.0 else over / self.downlink_hz if self.downlink_hz > 0 else np.inf
        holds = bool((band >= 0).all() and self.allowed_mask[rows, option].all() and self._served(order, turn))
        weighted = self.weights * latency
        ends = end[self.users :][order[order >= self.users] - self.users]
        counted = float(self.prefix_weights[order[order >= self.users] - self.users] @ ends) if ends.size else 0.0
        return Evaluation(
            latency_s=latency,
            objective_s=float(weighted.max() if self.objective == "max" else weighted.sum() + counted),
            violation=max(late, over) if holds else np.inf,
        )

    def _chains(self, order: Any) -> NDArray[np.int64]:
        """The order, once it names chains that there are, each at most once."""
        most = self.users + self.groups - 1
        expected = f"chains from 0 to {most}, each at most once, first to last"
        found = checks.plain("order", order, expected)
        if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
            raise InvalidInput("order", order, expected, "List the users in the order in which they are served.")
        found = found.astype(np.int64)
        if found.size and (found.min() < 0 or found.max() > most or np.bincount(found).max() > 1):
            raise InvalidInput("order", order, expected, "Name each chain that is served once, and no other.")
        return found

    def _served(self, order: NDArray[np.int64], turn: NDArray[np.bool_]) -> bool:
        """Whether exactly those have turns who have edge work, and prefixes come before their members and not alone."""
        place = np.full(self.users + self.groups, -1)
        place[order] = np.arange(order.size)
        if not (turn == (place[: self.users] >= 0)).all():
            return False
        if not self.groups:
            return True
        group, before = self.group_of, place[self.users :]
        member = turn & (group != NO_GROUP)
        needed = np.zeros(self.groups, dtype=bool)
        needed[group[member]] = True
        if ((before >= 0) & ~needed).any() or (needed & (self.prefix_works > 0) & (before < 0)).any():
            return False
        return bool((before[group[member]] < place[: self.users][member]).all())


def _short(begin: Array, least: Array) -> float:
    """By how much, relatively, a chain begins too early; infinite where it begins at no number."""
    if not begin.size:
        return 0.0
    if not (np.isfinite(begin) & (begin >= 0)).all():
        return np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(begin >= least, 0.0, (least - begin) / least).max())
