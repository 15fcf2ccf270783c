"""Arrays of a `SharedPrefixProblem`: how they are read, their defaults, and the rates that they make."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.radio.rates import linear_rate, shannon_rate

Array = NDArray[np.float64]

OBJECTIVES = ("max", "sum")
RESERVES = ("phased", "separate")

ALONE = -1
"""The group of a user who is in none, and the trunk of a group that runs none."""

_TABLES = {"fixed_s": "s", "uplink_bit": "bit", "edge_work_s": "s", "downlink_bit": "bit"}
_USERS = {
    # field: (unit, whether 0 is allowed)
    "weight": ("1", False),
    "edge_share_max": ("1", False),
    "uplink_efficiency": ("bit/s/Hz", True),
    "downlink_efficiency": ("bit/s/Hz", True),
    "uplink_snr_hz": ("Hz", True),
    "downlink_snr_hz": ("Hz", True),
}
_TRUNKS = {
    "trunk_fixed_s": ("s", True),
    "trunk_uplink_bit": ("bit", True),
    "trunk_edge_work_s": ("s", True),
    "multicast_bit": ("bit", True),
    "trunk_uplink_efficiency": ("bit/s/Hz", True),
    "multicast_efficiency": ("bit/s/Hz", True),
    "trunk_uplink_snr_hz": ("Hz", True),
    "multicast_snr_hz": ("Hz", True),
    "trunk_edge_share_max": ("1", False),
    "trunk_uplink_airtime_max_s": ("s", True),
}
_NEEDED = (*_TABLES, "trunk_fixed_s", "trunk_uplink_bit", "trunk_edge_work_s", "multicast_bit")
_NO_LIMIT = {
    "edge_share_max": checks.NO_SHARE_CAP,
    "trunk_edge_share_max": checks.NO_SHARE_CAP,
    "trunk_uplink_airtime_max_s": checks.LARGEST,
}
_LINKS = (("uplink", "trunk_uplink", "trunk_uplink_bit"), ("downlink", "multicast", "multicast_bit"))
"""Directions, how a trunk's rate in each is named, and what it sends."""
_GROUPING = ("similarity", "similarity_min", "group_size_max", "trunk_similarity_min", "trunk_lead")


class PrefixArrays:
    """Users, options and trunks; `SharedPrefixProblem` declares the fields and their meaning."""

    fixed_s: Array
    uplink_bit: Array
    edge_work_s: Array
    downlink_bit: Array
    rides: NDArray[np.int64]
    trunk_fixed_s: Array
    trunk_uplink_bit: Array
    trunk_edge_work_s: Array
    multicast_bit: Array
    compatible: NDArray[np.bool_]
    downlink_hz: float
    uplink_hz: float
    edge_capacity: float
    group: NDArray[np.int64] | None
    trunk_group: NDArray[np.int64] | None
    reserve: str
    allowed: NDArray[np.bool_] | None
    weight: Array | None
    edge_share_max: Array | None
    trunk_edge_share_max: Array | None
    trunk_uplink_airtime_max_s: Array | None
    downlink_efficiency: Array | None
    uplink_efficiency: Array | None
    downlink_snr_hz: Array | None
    uplink_snr_hz: Array | None
    trunk_uplink_efficiency: Array | None
    multicast_efficiency: Array | None
    trunk_uplink_snr_hz: Array | None
    multicast_snr_hz: Array | None
    similarity: Array | None
    similarity_min: float | None
    group_size_max: int | None
    trunk_similarity_min: Array | None
    trunk_lead: NDArray[np.int64] | None
    objective: str

    def _read(self) -> None:
        """Check all arrays and keep them read-only; raises InvalidInput that names field, place, value and remedy."""
        for name, known in (("objective", OBJECTIVES), ("reserve", RESERVES)):
            checks.choice(name, getattr(self, name), known)
        self._read_numbers()
        self._read_rates()
        if self.group is None:
            self._read_similarity()
        else:
            self._read_groups()
        self._refuse_stranded()

    def _store(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _read_numbers(self) -> None:
        shape = checks.table_shape("fixed_s", self.fixed_s, "s", ("K users", "O options"))
        of = checks.plain("trunk_fixed_s", self.trunk_fixed_s, "numbers [s], shape (Q trunks,)").shape
        if len(of) != 1:
            raise InvalidInput("trunk_fixed_s", of, "an array (Q trunks,)", "Give one number for each trunk.")
        fields_of_trunks = ("trunk_uplink_bit", "trunk_edge_work_s", "multicast_bit")
        given = [(name, getattr(self, name)) for name in fields_of_trunks if getattr(self, name) is not None]
        others = {checks.plain(name, value, "numbers, shape (Q trunks,)").shape for name, value in given}
        if len(others) == 1 and len(given) > 1 and others != {of}:
            expected = f"shape {others.pop()} [s], as the other fields of trunks have"
            raise InvalidInput("trunk_fixed_s", of, expected, "Give one number for each trunk.")
        fields: dict[str, tuple[str, bool, tuple[int, ...], tuple[str, ...]]] = {
            **{name: (unit, True, shape, ("user", "option")) for name, unit in _TABLES.items()},
            **{name: (*kind, shape[:1], ("user",)) for name, kind in _USERS.items()},
            **{name: (*kind, of, ("trunk",)) for name, kind in _TRUNKS.items()},
        }
        for name, (unit, zero, size, axes) in fields.items():
            value = getattr(self, name)
            if value is not None and name in _NO_LIMIT:
                value = checks.plain(name, value, f"numbers [{unit}], shape {size}")
                value = np.where(value == np.inf, np.float64(_NO_LIMIT[name]), value)
            if value is not None or name in _NEEDED:
                found = checks.numbers(name, value, size, unit, zero=zero, axes=axes, copy=True)
                self._store(name, checks.read_only(found))
        for name, unit in (("downlink_hz", "Hz"), ("uplink_hz", "Hz"), ("edge_capacity", "1")):
            self._store(name, float(checks.numbers(name, getattr(self, name), (), unit)))
        rides = checks.options(
            "rides", self.rides, shape, 3, "Say of each option whether it ignores the trunk (0), waits for it (1) or "
            "also for its multicast (2).",
        )  # fmt: skip
        self._store("rides", checks.read_only(rides))
        self._store(
            "compatible",
            checks.read_only(checks.flags("compatible", self.compatible, (*shape, of[0]), ("user", "option", "trunk"))),
        )
        if self.allowed is not None:
            self._store("allowed", checks.read_only(checks.flags("allowed", self.allowed, shape)))

    def _read_rates(self) -> None:
        for side, trunk, sent in _LINKS:
            for who, bits in ((side, getattr(self, f"{side}_bit")), (trunk, getattr(self, sent))):
                efficiency, snr = getattr(self, f"{who}_efficiency"), getattr(self, f"{who}_snr_hz")
                if efficiency is not None and snr is not None:
                    expected = f"exactly one of {who}_efficiency and {who}_snr_hz"
                    raise InvalidInput(f"{who}_snr_hz", "given", expected, "Remove one.")
                if efficiency is None and snr is None and bits.any():
                    expected = (
                        f"{who}_efficiency [bit/s/Hz] or {who}_snr_hz [Hz], because something is sent over this link"
                    )
                    raise InvalidInput(f"{who}_efficiency", None, expected, "Add one of them.")
            for one, other in ((f"{side}_efficiency", f"{trunk}_snr_hz"), (f"{side}_snr_hz", f"{trunk}_efficiency")):
                if getattr(self, one) is not None and getattr(self, other) is not None:
                    expected = f"the members' law in this direction, which is given by {one}"
                    raise InvalidInput(other, "given", expected, "Give members and trunks the same law.")

    def _read_groups(self) -> None:
        for name in _GROUPING:
            if getattr(self, name) is not None:
                expected = "nothing where the groups are given, for it says how groups are formed"
                raise InvalidInput(name, getattr(self, name), expected, "Leave it out, or give group=None.")
        group = _integers("group", self.group, (self.users,), "Give each user a group, or -1 for none.")
        number = int(group.max()) + 1
        if group.min() < ALONE:
            k = int(group.argmin())
            raise InvalidInput(f"group (user {k})", int(group[k]), "a number of at least -1 [1]", "-1 is no group.")
        sizes = np.bincount(group[group >= 0], minlength=number)
        if (sizes < 2).any():
            g = int(sizes.argmin())  # a hole before a user alone
            found = "one user" if sizes[g] else "no user"
            raise InvalidInput(
                f"group (group {g})", found, f"at least two users in each of the groups 0 to {number - 1}",
                "Number the groups without holes; a user alone is in group -1.",
            )  # fmt: skip
        self._store("group", checks.read_only(group))
        if self.trunk_group is None:
            raise InvalidInput(
                "trunk_group", None, f"the group of each trunk, shape {(self.trunks,)}", "Add the field."
            )
        of = _integers("trunk_group", self.trunk_group, (self.trunks,), "Name the group that may run each trunk.")
        for q in np.flatnonzero((of < 0) | (of >= number)).tolist():
            expected = f"one of the groups 0 to {number - 1}" if number else "no trunk, for there is no group"
            raise InvalidInput(f"trunk_group (trunk {q})", int(of[q]), expected, "Name a group that is there.")
        self._store("trunk_group", checks.read_only(of))
        strangers = self.compatible & (group[:, None, None] != of)
        if strangers.any():
            k, o, q = (int(i) for i in np.argwhere(strangers)[0])
            expected = f"False, for the trunk is of group {of[q]} and the user is in group {group[k]}"
            raise InvalidInput(f"compatible (user {k}, option {o}, trunk {q})", True, expected, "Make it False.")

    def _read_similarity(self) -> None:
        if self.trunk_group is not None:
            expected = "nothing where groups are formed, for each takes its own copy of a trunk"
            raise InvalidInput("trunk_group", "given", expected, "Leave it out, or give group.")
        if self.similarity is None:
            raise InvalidInput("similarity", None, f"numbers [1], shape {(self.users,) * 2}", "Add it, or give group.")
        found = checks.plain("similarity", self.similarity, f"numbers [1], shape {(self.users,) * 2}")
        if found.shape != (self.users, self.users):
            raise InvalidInput("similarity", found.shape, f"shape {(self.users,) * 2} [1]", "Give it this shape.")
        table = found.astype(np.float64)
        bad = ~((table >= 0) & (table <= 1))
        if bad.any():
            i, j = (int(n) for n in np.argwhere(bad)[0])
            raise InvalidInput(
                f"similarity (users {i} and {j})", float(table[i, j]), "a number from 0 to 1 [1]", "Give such a number."
            )
        if (table != table.T).any():
            i, j = (int(n) for n in np.argwhere(table != table.T)[0])
            expected = f"{table[j, i]} [1], as for the users {j} and {i}"
            raise InvalidInput(f"similarity (users {i} and {j})", float(table[i, j]), expected, "Make it symmetric.")
        self._store("similarity", checks.read_only(table))
        least = 0.0 if self.similarity_min is None else _part("similarity_min", self.similarity_min)
        self._store("similarity_min", least)
        most = max(self.users, 2) if self.group_size_max is None else self.group_size_max
        self._store("group_size_max", checks.count("group_size_max", most, 2, "Allow two at least."))
        if self.trunk_similarity_min is not None:
            limits = checks.numbers("trunk_similarity_min", self.trunk_similarity_min, (self.trunks,), "1")
            for q in np.flatnonzero(limits > 1).tolist():
                raise InvalidInput(
                    f"trunk_similarity_min (trunk {q})", float(limits[q]), "a number from 0 to 1 [1]", "Lower it."
                )
            self._store("trunk_similarity_min", checks.read_only(limits))
        if self.trunk_lead is not None:
            lead = _integers("trunk_lead", self.trunk_lead, (self.trunks,), "Name a user for each trunk, or -1.")
            for q in np.flatnonzero((lead < ALONE) | (lead >= self.users)).tolist():
                expected = f"a user from 0 to {self.users - 1} [1], or -1 for nobody in particular"
                raise InvalidInput(f"trunk_lead (trunk {q})", int(lead[q]), expected, "Name a user that is there.")
            self._store("trunk_lead", checks.read_only(lead))

    def _refuse_stranded(self) -> None:
        """A user without any option that is allowed has no answer whatever the shares."""
        none = np.flatnonzero(~self.allowed_mask.any(axis=1))
        if none.size:
            raise InvalidInput(
                f"allowed (user {int(none[0])})", "no option", "at least one allowed option for each user", "Allow one."
            )

    # ---- sizes and defaults

    @property
    def users(self) -> int:
        """K."""
        return int(self.fixed_s.shape[0])

    @property
    def options(self) -> int:
        """O."""
        return int(self.fixed_s.shape[1])

    @property
    def trunks(self) -> int:
        """Q."""
        return int(self.trunk_fixed_s.shape[0])

    @property
    def groups(self) -> int:
        """G; 0 where groups are to be formed."""
        return 0 if self.group is None else int(self.group.max()) + 1

    @cached_property
    def weights(self) -> Array:
        """Weights with their default, (K,) [1]."""
        return np.ones(self.users) if self.weight is None else self.weight

    @cached_property
    def allowed_mask(self) -> NDArray[np.bool_]:
        """`allowed` with its default, (K, O)."""
        return np.ones(self.fixed_s.shape, dtype=bool) if self.allowed is None else self.allowed

    @cached_property
    def share_caps(self) -> Array:
        """Caps of the members' own edge shares, (K,) [1]; infinite where there is none."""
        return _caps(self.edge_share_max, self.users)

    @cached_property
    def trunk_caps(self) -> Array:
        """Caps of the trunks' speeds, (Q,) [1]; infinite where there is none."""
        return _caps(self.trunk_edge_share_max, self.trunks)

    def rate(self, link: str, band_hz: Array, rows: NDArray[np.int64] | slice = slice(None)) -> Array:
        """Rates [bit/s] of bands [Hz] on a link: "uplink" or "downlink" of users, "trunk_uplink" or "multicast" of
        trunks; `rows` are the users or trunks that the bands belong to."""
        efficiency, snr = getattr(self, f"{link}_efficiency"), getattr(self, f"{link}_snr_hz")
        if efficiency is not None:
            return linear_rate(band_hz, efficiency[rows])
        return np.zeros(np.shape(band_hz)) if snr is None else shannon_rate(band_hz, snr[rows])

    @cached_property
    def open_options(self) -> NDArray[np.bool_]:
        """Options that are allowed, demand no resource of zero and ride only in a group, (K, O)."""
        mask = self.allowed_mask.copy()
        for side, *_ in _LINKS:
            mask &= (getattr(self, f"{side}_bit") == 0) | self._reached(side, self.users)[:, None]
        if not self.edge_capacity > 0:
            mask &= self.edge_work_s == 0
        if self.group is not None:
            mask &= (self.rides == 0) | (self.group >= 0)[:, None]
        return mask

    @cached_property
    def open_trunks(self) -> NDArray[np.bool_]:
        """Trunks that demand no resource of zero; the multicast is demanded only by who waits for it, (Q,)."""
        mask = (self.trunk_uplink_bit == 0) | self._reached("trunk_uplink", self.trunks)
        if self.trunk_uplink_airtime_max_s is not None:
            mask &= (self.trunk_uplink_bit == 0) | (self.trunk_uplink_airtime_max_s > 0)
        if not self.edge_capacity > 0:
            mask &= self.trunk_edge_work_s == 0
        return np.asarray(mask, dtype=np.bool_)

    @cached_property
    def open_multicasts(self) -> NDArray[np.bool_]:
        """Trunks whose multicast can be sent, (Q,)."""
        return np.asarray((self.multicast_bit == 0) | self._reached("multicast", self.trunks))

    def _reached(self, link: str, count: int) -> NDArray[np.bool_]:
        law = getattr(self, f"{link}_efficiency")
        law = getattr(self, f"{link}_snr_hz") if law is None else law
        budget = self.uplink_hz if "uplink" in link else self.downlink_hz
        reached: NDArray[np.bool_] = np.zeros(count, bool) if law is None else (law > 0) & (budget > 0)
        return reached


def _integers(name: str, value: Any, shape: tuple[int, ...], remedy: str) -> NDArray[np.int64]:
    expected = f"integers, shape {shape}"
    found = checks.plain(name, value, expected)
    if found.shape != shape or (found.dtype.kind not in "iu" and found.size):
        raise InvalidInput(name, value, expected, remedy)
    return found.astype(np.int64)


def _part(name: str, value: Any) -> float:
    number = checks.number(name, value, "1", remedy="Give a number from 0 to 1.")
    if number > 1:
        raise InvalidInput(name, number, "a number from 0 to 1 [1]", "Lower it.")
    return number


def _caps(given: Array | None, count: int) -> Array:
    if given is None:
        return np.full(count, np.inf)
    return np.where(given >= checks.NO_SHARE_CAP, np.inf, given)
