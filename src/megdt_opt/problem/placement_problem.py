"""Several edge servers with bands, a capacity and a memory of their own: whom each serves, and which models it holds.

L_k = fixed + max(device_branch, uplink_bit / rate_u(b_u) + edge_work / f + downlink_bit / rate_d(b_d)),

with the sums of b_d, b_u and f over the users of a server within its budgets, f <= edge_share_max, L <= deadline,
uplink_bit / rate_u(b_u) <= uplink_airtime_max, and the models that a server holds within its memory. An option names
its server; one that names none runs on the device alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks, placed_models
from megdt_opt.problem.arrays import NO_LIMIT
from megdt_opt.problem.evaluation import Evaluation
from megdt_opt.radio.rates import linear_rate, shannon_rate

Array = NDArray[np.float64]

OBJECTIVES = ("max", "sum")

NO_SERVER = placed_models.NO_SERVER
"""The server of an option that runs on the device alone."""

_TABLES = {
    "fixed_s": "s", "downlink_bit": "bit", "uplink_bit": "bit", "edge_work_s": "s", "device_branch_s": "s",
    "uplink_airtime_max_s": "s",
}  # fmt: skip
_BUDGETS = {"downlink_hz": "Hz", "uplink_hz": "Hz", "edge_capacity": "1"}
_LAWS = {
    "downlink_efficiency": "bit/s/Hz", "uplink_efficiency": "bit/s/Hz", "downlink_snr_hz": "Hz", "uplink_snr_hz": "Hz",
}  # fmt: skip
_AMOUNTS = ("downlink_bit", "uplink_bit", "edge_work_s")


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacementProblem:
    """Options of K users at E servers, and the models that the servers may hold.

    Parameters
    ----------
    fixed_s : array_like, (K, O)
        Latency that no shared resource shortens [s]; the time to load a model is part of it.
    downlink_bit, uplink_bit : array_like, (K, O)
        Payloads of the edge branch [bit].
    edge_work_s : array_like, (K, O)
        Time of the edge branch on one whole edge server [s].
    option_server : array_like of int, (K, O)
        Server at which an option runs, 0 to E - 1; -1 where it runs on the device alone, without bits and edge work.
    downlink_hz, uplink_hz : array_like, (E,)
        Bands of the servers [Hz]. A band of zero closes the options that demand it.
    edge_capacity : array_like, (E,), optional
        Edge servers at each place [1]; default 1.
    device_branch_s : array_like, (K, O), optional
        Device branch that runs beside the edge branch [s]; 0 = sequential.
    allowed : array_like of bool, (K, O), optional
        False where a limit that does not depend on the shares rules the option out.
    weight : array_like, (K,), optional
        Weights > 0 [1]; default 1.
    edge_share_max : array_like, (K,), optional
        Most that one user's chain can use, at whatever server [1]; infinite or left out: no cap.
    downlink_efficiency, uplink_efficiency : array_like, (K,) or (K, E), optional
        Linear rate: r = e b [bit/s/Hz]; (K, E) where it differs from server to server, 0 where one does not reach.
    downlink_snr_hz, uplink_snr_hz : array_like, (K,) or (K, E), optional
        Shannon rate: r = b log2(1 + g / b) [Hz]. Exactly one of efficiency and snr for each direction; neither is
        needed for a direction that no option uses.
    user_model : array_like of int, (K,), optional
        Model that the user's options run at a server, 0 to M - 1; left out: every server has every model.
    option_model : array_like of bool, (K, O, M), optional
        In place of `user_model`: the models, or parts of one, that an option needs at its server, all of them; none
        without a server.
    model_byte : array_like, (M,), optional
        Memory that each model takes [byte]; goes with `user_model` or `option_model`.
    memory_byte : array_like, (E,), optional
        Memory of each server [byte]; goes with `user_model` or `option_model`.
    deadline_s : array_like, (K,), optional
        Hard limits on the latencies [s]; infinite or left out: none.
    uplink_airtime_max_s : array_like, (K, O), optional
        Longest time that an option may send [s], as a battery's energy allows; infinite or left out: no limit.
    objective : str
        "max": max_k w_k L_k; "sum": sum_k w_k L_k.

    Raises
    ------
    InvalidInput
        Where an array has another shape or numbers out of range, an option names a server that is not there, an option
        without a server has bits or edge work, a model fits no server, or a user is left without any option; the
        message names field, place, value, unit and remedy.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from megdt_opt import PlacementProblem
    >>> problem = PlacementProblem(  # two users: at server 0, at server 1, or on the device
    ...     fixed_s=[[0.5, 0.5, 4.0], [0.5, 0.5, 6.0]], edge_work_s=[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]],
    ...     downlink_bit=[[1e6, 1e6, 0.0], [1e6, 1e6, 0.0]], uplink_bit=[[0.0] * 3, [0.0] * 3],
    ...     option_server=[[0, 1, -1], [0, 1, -1]], downlink_hz=[1e6, 1e6], uplink_hz=[0.0, 0.0],
    ...     downlink_efficiency=[[2.0, 1.0], [1.0, 2.0]], user_model=[0, 1], model_byte=[4e9, 6e9],
    ...     memory_byte=[4e9, 8e9], objective="max",
    ... )
    >>> problem.users, problem.options, problem.servers, problem.models
    (2, 3, 2, 2)
    >>> answer = SimpleNamespace(option=[0, 1], placed=[[1, 0], [0, 1]], downlink_hz=[1e6, 1e6], uplink_hz=[0.0, 0.0],
    ...                          edge_share=[1.0, 1.0])
    >>> found = problem.evaluate(answer)
    >>> found.latency_s.tolist(), found.objective_s, found.violation
    ([2.0, 2.0], 2.0, 0.0)
    """

    fixed_s: NDArray[np.float64]
    downlink_bit: NDArray[np.float64]
    uplink_bit: NDArray[np.float64]
    edge_work_s: NDArray[np.float64]
    option_server: NDArray[np.int64]
    downlink_hz: NDArray[np.float64]
    uplink_hz: NDArray[np.float64]
    edge_capacity: NDArray[np.float64] | None = None
    device_branch_s: NDArray[np.float64] | None = None
    allowed: NDArray[np.bool_] | None = None
    weight: NDArray[np.float64] | None = None
    edge_share_max: NDArray[np.float64] | None = None
    downlink_efficiency: NDArray[np.float64] | None = None
    uplink_efficiency: NDArray[np.float64] | None = None
    downlink_snr_hz: NDArray[np.float64] | None = None
    uplink_snr_hz: NDArray[np.float64] | None = None
    user_model: NDArray[np.int64] | None = None
    option_model: NDArray[np.bool_] | None = None
    model_byte: NDArray[np.float64] | None = None
    memory_byte: NDArray[np.float64] | None = None
    deadline_s: NDArray[np.float64] | None = None
    uplink_airtime_max_s: NDArray[np.float64] | None = None
    objective: str = "max"

    def __repr__(self) -> str:
        return (
            f"<PlacementProblem: {self.users} users, {self.options} options, {self.servers} servers, {self.objective}>"
        )

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        self._read_tables()
        self._read_servers()
        self._read_users()
        self._read_laws()
        self._read_models()
        self._refuse_work_of_devices()
        self._refuse_stranded()

    # ---- reading

    def _store(self, name: str, value: NDArray[Any]) -> None:
        object.__setattr__(self, name, checks.read_only(value))

    def _numbers(
        self, name: str, shape: tuple[int, ...], unit: str, axes: tuple[str, ...], *, zero: bool = True
    ) -> None:
        self._store(name, checks.numbers(name, getattr(self, name), shape, unit, zero=zero, axes=axes, copy=True))

    def _limits(self, name: str, shape: tuple[int, ...], unit: str, axes: tuple[str, ...], *, zero: bool) -> None:
        """Limits, which are infinite for those who have none, where they are given."""
        if getattr(self, name) is not None:
            value = checks.plain(name, getattr(self, name), f"numbers [{unit}], shape {shape}")
            object.__setattr__(self, name, np.where(value == np.inf, NO_LIMIT[name], value))
            self._numbers(name, shape, unit, axes, zero=zero)

    def _read_tables(self) -> None:
        shape = checks.table_shape("fixed_s", self.fixed_s, "s", ("K users", "O options"))
        for name, unit in _TABLES.items():
            if name == "uplink_airtime_max_s":
                self._limits(name, shape, unit, ("user", "option"), zero=True)
            elif name != "device_branch_s" or self.device_branch_s is not None:
                self._numbers(name, shape, unit, ("user", "option"))
        if self.allowed is not None:
            self._store("allowed", checks.flags("allowed", self.allowed, shape))

    def _read_servers(self) -> None:
        shape = checks.plain("downlink_hz", self.downlink_hz, "numbers [Hz], shape (E servers,)").shape
        if len(shape) != 1 or not shape[0]:
            raise InvalidInput(
                "downlink_hz", shape, "one band for each server [Hz], shape (E,)", "Give a list of them."
            )
        for name, unit in _BUDGETS.items():
            if getattr(self, name) is not None or name != "edge_capacity":
                self._numbers(name, shape, unit, ("server",))
        self._store(
            "option_server", self._indices("option_server", self.fixed_s.shape, NO_SERVER, shape[0] - 1, "server")
        )

    def _indices(self, name: str, shape: tuple[int, ...], least: int, most: int, what: str) -> NDArray[np.int64]:
        """Numbers of servers or models that exist, in an array of one shape."""
        expected = f"a {what} from {least} to {most} [1]" + (", -1 for none" if least < 0 else "")
        found = checks.plain(name, getattr(self, name), f"{expected}, shape {shape}")
        if found.shape != shape or found.dtype.kind not in "iu":
            given = found.shape if found.shape != shape else f"an array of {found.dtype}"
            raise InvalidInput(name, given, f"integers, each {expected}, shape {shape}", "Give such an array.")
        wrong = (found < least) | (found > most)
        if wrong.any():
            where = np.argwhere(wrong)[0]
            place = ", ".join(f"{axis} {i}" for axis, i in zip(("user", "option"), where, strict=False))
            raise InvalidInput(f"{name} ({place})", int(found[tuple(where)]), expected, f"Name a {what} that is there.")
        return found.astype(np.int64)

    def _read_users(self) -> None:
        if self.weight is not None:
            self._numbers("weight", (self.users,), "1", ("user",), zero=False)
        self._limits("edge_share_max", (self.users,), "1", ("user",), zero=False)
        self._limits("deadline_s", (self.users,), "s", ("user",), zero=False)

    def _read_laws(self) -> None:
        for name, unit in _LAWS.items():
            value = getattr(self, name)
            if value is None:
                continue
            one, each = (self.users,), (self.users, self.servers)
            shape = checks.plain(name, value, f"numbers [{unit}], shape {one} or {each}").shape
            if shape not in (one, each):
                expected = f"shape {one}, or {each} where it differs from server to server [{unit}]"
                raise InvalidInput(name, shape, expected, "Give the array one of these shapes.")
            self._numbers(name, shape, unit, ("user", "server"))
        for side in ("downlink", "uplink"):
            efficiency, snr = getattr(self, f"{side}_efficiency"), getattr(self, f"{side}_snr_hz")
            if efficiency is not None and snr is not None:
                expected = f"exactly one of {side}_efficiency and {side}_snr_hz"
                raise InvalidInput(f"{side}_snr_hz", "given", expected, "Remove one.")
            if efficiency is None and snr is None and getattr(self, f"{side}_bit").any():
                expected = f"{side}_efficiency [bit/s/Hz] or {side}_snr_hz [Hz], because options send over this link"
                raise InvalidInput(f"{side}_efficiency", None, expected, "Add one of them.")

    def _read_models(self) -> None:
        given = {name: getattr(self, name) for name in placed_models.FIELDS}
        for name, value in placed_models.read_models(given, self.option_server, self.servers, self._indices).items():
            self._store(name, value)

    def _refuse_work_of_devices(self) -> None:
        for name in _AMOUNTS:
            wrong = np.argwhere((self.option_server == NO_SERVER) & (getattr(self, name) > 0))
            if wrong.size:
                k, o = (int(i) for i in wrong[0])
                raise InvalidInput(
                    f"{name} (user {k}, option {o})", float(getattr(self, name)[k, o]),
                    f"0 [{_TABLES[name]}] for an option without a server (option_server -1)",
                    "Set it to 0, or name the server that it uses.",
                )  # fmt: skip

    def _refuse_stranded(self) -> None:
        stranded = np.flatnonzero(~self.open_options.any(axis=1))
        if not stranded.size:
            return
        k = int(stranded[0])
        allowed = self.allowed_mask[k]
        if not allowed.any():
            raise InvalidInput(
                f"allowed (user {k})", False, "at least one option that is allowed", "Allow one, or leave out the user."
            )
        o = int(np.flatnonzero(allowed)[0])
        name, value, wanted = self._why_closed(k, o)
        raise InvalidInput(
            f"{name} (user {k}, option {o}, server {int(self.option_server[k, o])})", value,
            f"{wanted}, because no server can serve this user and it has no option on its device alone",
            "Give the user an option that some server can serve, or one with option_server -1.",
        )  # fmt: skip

    def _why_closed(self, k: int, o: int) -> tuple[str, float, str]:
        """What closes an option: field, value and what would not."""
        e = int(self.option_server[k, o])
        for side in ("downlink", "uplink"):
            if getattr(self, f"{side}_bit")[k, o] > 0:
                if not getattr(self, f"{side}_hz")[e] > 0:
                    return f"{side}_hz", 0.0, "more than that [Hz]"
                kind = "efficiency" if getattr(self, f"{side}_efficiency") is not None else "snr_hz"
                if not self.law(side)[k, e] > 0:
                    return f"{side}_{kind}", 0.0, f"more than that [{_LAWS[f'{side}_{kind}']}]"
        if self.edge_work_s[k, o] > 0 and not self.capacities[e] > 0:
            return "edge_capacity", 0.0, "more than that [1]"
        assert self.memory_byte is not None
        assert self.model_byte is not None
        needed = np.flatnonzero(self.needs(np.array([k]), np.array([o]))[0])
        size = f"at least {self.model_byte[needed].sum():g} [byte], the size of "
        if self.user_model is not None:
            return "memory_byte", float(self.memory_byte[e]), f"{size}the user's model {needed[0]}"
        return "memory_byte", float(self.memory_byte[e]), f"{size}the option's models {needed.tolist()}"

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
    def servers(self) -> int:
        """E."""
        return int(self.downlink_hz.shape[0])

    @property
    def models(self) -> int:
        """M; 0 where every server has every model."""
        return 0 if self.model_byte is None else int(self.model_byte.shape[0])

    @property
    def linear(self) -> bool:
        """Whether no direction has a Shannon rate."""
        return self.downlink_snr_hz is None and self.uplink_snr_hz is None

    @cached_property
    def weights(self) -> Array:
        """Weights with their default, (K,) [1]."""
        return np.ones(self.users) if self.weight is None else self.weight

    @cached_property
    def capacities(self) -> Array:
        """`edge_capacity` with its default, (E,) [1]."""
        return np.ones(self.servers) if self.edge_capacity is None else self.edge_capacity

    @cached_property
    def budgets(self) -> Array:
        """Downlink, uplink and edge of the servers, (3, E) [Hz, Hz, 1]."""
        return np.stack([self.downlink_hz, self.uplink_hz, self.capacities])

    @cached_property
    def branch_s(self) -> Array:
        """Device branches with their default, (K, O) [s]."""
        return np.zeros(self.fixed_s.shape) if self.device_branch_s is None else self.device_branch_s

    @cached_property
    def share_caps(self) -> Array:
        """Share caps with their default, (K,) [1]; infinite where there is none."""
        if self.edge_share_max is None:
            return np.full(self.users, np.inf)
        return np.where(self.edge_share_max >= checks.NO_SHARE_CAP, np.inf, self.edge_share_max)

    @cached_property
    def hard_deadline_s(self) -> Array:
        """`deadline_s` with its default, (K,) [s]; infinite where there is none."""
        if self.deadline_s is None:
            return np.full(self.users, np.inf)
        return np.where(self.deadline_s >= checks.NO_DEADLINE_S, np.inf, self.deadline_s)

    @property
    def limited(self) -> bool:
        """Whether a user has a limit that is kept or not by what it shares: a deadline, or one on its airtime."""
        sends = None if self.uplink_airtime_max_s is None else self.uplink_airtime_max_s < checks.NO_AIRTIME_LIMIT_S
        return bool(np.isfinite(self.hard_deadline_s).any()) or (sends is not None and bool(sends.any()))

    @cached_property
    def allowed_mask(self) -> NDArray[np.bool_]:
        """`allowed` with its default, (K, O)."""
        return np.ones(self.fixed_s.shape, dtype=bool) if self.allowed is None else self.allowed

    def law(self, side: str) -> Array:
        """Efficiency [bit/s/Hz] or SNR-bandwidth product [Hz] of "downlink" or "uplink", (K, E); 0 where neither is."""
        efficiency = getattr(self, f"{side}_efficiency")
        found = getattr(self, f"{side}_snr_hz") if efficiency is None else efficiency
        if found is None:
            return np.zeros((self.users, self.servers))
        return np.broadcast_to(found if found.ndim == 2 else found[:, None], (self.users, self.servers))

    def needs(self, user: NDArray[Any], option: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Models that options (n,) of users (n,) need at their servers, (n, M)."""
        asked = self.user_model, self.option_model
        return placed_models.needs_of(*asked, self.option_server, self.models, user, option)

    def needed(self, option: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """The least that servers must hold for the users' options (K,), (E, M); None where every server has all."""
        if not self.models:
            return None
        rows = np.arange(self.users)
        found, server = np.zeros((self.servers, self.models), dtype=bool), self.option_server[rows, option]
        at = server != NO_SERVER
        np.logical_or.at(found, server[at], self.needs(rows, option)[at])
        return found

    @cached_property
    def fits(self) -> NDArray[np.bool_]:
        """Whether the server of an option holds what it needs, if it holds that alone, (K, O)."""
        asked = self.user_model, self.option_model
        return placed_models.fits(*asked, self.option_server, self.model_byte, self.memory_byte)

    @cached_property
    def open_options(self) -> NDArray[np.bool_]:
        """Options that are allowed, demand no resource of their server that is zero, and fit its memory, (K, O)."""
        rows, server = np.arange(self.users)[:, None], self.option_server
        mask = self.allowed_mask & self.fits
        for side in ("downlink", "uplink"):
            reached = (self.law(side) > 0) & (getattr(self, f"{side}_hz") > 0)
            mask &= (getattr(self, f"{side}_bit") == 0) | reached[rows, server]
        mask &= (self.edge_work_s == 0) | (self.capacities > 0)[server]
        return np.asarray(mask)

    # ---- the truth

    def evaluate(self, answer: Any) -> Evaluation:
        """Latency, objective and violation of an answer; solvers' own figures are never reported.

        Parameters
        ----------
        answer : object
            With `option` (K,), the shares `downlink_hz`, `uplink_hz` [Hz] and `edge_share` [1] (K,) at the server of
            the chosen option (0 without one) and, where models are placed and only there, `placed` (E, M).

        Returns
        -------
        Evaluation
            Latencies [s], objective, and the worst relative violation of a budget, a cap, a limit or a memory [1];
            infinite for an option that is not allowed or whose model its server does not hold, and for a share that is
            negative, not a number, or of no server.

        Raises
        ------
        InvalidInput
            Where a decision is missing, has another shape or is not the problem's, or an option does not exist.
        """
        users = self.users
        names = ("option", "downlink_hz", "uplink_hz", "edge_share", *(["placed"] if self.models else []))
        option, *given = checks.decisions(answer, names)
        option = checks.options("option", option, (users,), self.options)
        shares = np.stack([
            checks.shares(name, one, (users,), unit)
            for name, one, unit in zip(names[1:4], given, ("Hz", "Hz", "1"), strict=False)
        ])  # fmt: skip
        if not self.models and getattr(answer, "placed", None) is not None:
            expected = "nothing, because the problem places no models (neither user_model nor option_model is given)"
            raise InvalidInput("placed", answer.placed, expected, "Leave it out, or give the problem its models.")
        rows = np.arange(users)
        server = self.option_server[rows, option]
        at = server != NO_SERVER
        times = self._times_s(rows, option, server, shares)
        latency = self.fixed_s[rows, option] + np.maximum(self.branch_s[rows, option], times.sum(axis=0))
        holds = bool(np.all(shares >= 0)) and not shares[:, ~at].any() and bool(self.allowed_mask[rows, option].all())
        used = np.stack([np.bincount(server[at], weights=one[at], minlength=self.servers) for one in shares])
        over = [_over(used, self.budgets), _over(shares[2], self.share_caps), _over(latency, self.hard_deadline_s)]
        if self.uplink_airtime_max_s is not None:
            over.append(_over(times[1], self.uplink_airtime_max_s[rows, option]))
        if self.model_byte is not None and self.memory_byte is not None:
            placed = checks.flags("placed", given[3], (self.servers, self.models), ("server", "model"))
            over.append(_over(placed @ self.model_byte, self.memory_byte))
            holds = holds and not bool((self.needs(rows[at], option[at]) & ~placed[server[at]]).any())
        weighted = self.weights * latency
        return Evaluation(
            latency_s=latency,
            objective_s=float(weighted.max() if self.objective == "max" else weighted.sum()),
            violation=max(over) if holds else np.inf,
        )

    def _times_s(
        self, rows: NDArray[np.intp], option: NDArray[np.int64], server: NDArray[np.int64], shares: Array
    ) -> Array:
        """Seconds of the edge branches on downlink, uplink and edge, (3, K)."""
        times = np.zeros((3, len(rows)))
        for i, (side, name) in enumerate(zip(("downlink", "uplink", ""), _AMOUNTS, strict=True)):
            amount, share = getattr(self, name)[rows, option], np.maximum(shares[i], 0.0)
            if side:
                law = linear_rate if getattr(self, f"{side}_snr_hz") is None else shannon_rate
                share = law(share, self.law(side)[rows, server])
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                times[i] = np.where(amount > 0, amount / np.where(amount > 0, share, 1.0), 0.0)
        return times


def _over(values: NDArray[Any], limits: Array) -> float:
    """By how much, relatively, the worst value is over its limit; what is no number is over any."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        over = np.where(values <= limits, 0.0, np.where(limits > 0, (values - limits) / limits, np.inf))
    return float(np.where(np.isnan(over), np.inf, over).max(initial=0.0))
