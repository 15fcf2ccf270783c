"""Arrays that one problem and many of them share: how they are read, their defaults, and the rates that they make.

The last axes are users and options: tables (..., K, O), vectors (..., K), budgets (...). One problem has no axis more,
a batch has one in front for its scenarios.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.radio.rates import linear_rate, shannon_rate

Array = NDArray[np.float64]

AXES = ("scenario", "user", "option")

TABLES = {
    # field: unit
    "fixed_s": "s",
    "device_branch_s": "s",
    "downlink_bit": "bit",
    "uplink_bit": "bit",
    "edge_work_s": "s",
    "uplink_airtime_max_s": "s",
}
VECTORS = {
    # field: (unit, whether 0 is allowed)
    "weight": ("1", False),
    "edge_share_max": ("1", False),
    "downlink_efficiency": ("bit/s/Hz", True),
    "uplink_efficiency": ("bit/s/Hz", True),
    "downlink_snr_hz": ("Hz", True),
    "uplink_snr_hz": ("Hz", True),
    "deadline_s": ("s", False),
}
NO_LIMIT = {
    "edge_share_max": checks.NO_SHARE_CAP,
    "deadline_s": checks.NO_DEADLINE_S,
    "uplink_airtime_max_s": checks.LARGEST,
}
"""Limits, which may be infinite for those who have none, and the number that is kept for it."""
BUDGETS = {"downlink_hz": "Hz", "uplink_hz": "Hz", "edge_capacity": "1"}
NEEDED = ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s")


class ProblemArrays:
    """What problems of any number of axes have in common; their classes declare the fields."""

    fixed_s: Array
    downlink_bit: Array
    uplink_bit: Array
    edge_work_s: Array
    downlink_hz: Any
    uplink_hz: Any
    edge_capacity: Any
    device_branch_s: Array | None
    allowed: NDArray[np.bool_] | None
    weight: Array | None
    edge_share_max: Array | None
    downlink_efficiency: Array | None
    uplink_efficiency: Array | None
    downlink_snr_hz: Array | None
    uplink_snr_hz: Array | None
    deadline_s: Array | None
    uplink_airtime_max_s: Array | None
    objective: str
    option_cost: Array | None = None
    cost_max: Array | None = None
    cost_weight_s: Array | None = None

    def _read_arrays(self, lead: int, *, copy: bool) -> None:
        """Check all arrays and keep them read-only, with `lead` axes before those of users and options.

        Raises
        ------
        InvalidInput
            Names field, place, value, unit and remedy.
        """
        axes = AXES[1 - lead :]
        what = [f"{letter} {axis}s" for letter, axis in zip("SKO"[1 - lead :], axes, strict=True)]
        more = "; one scenario is (1, K, O)" if lead else ""
        # samples may stand in the place of the times
        sampled = getattr(self, "samples_kept", None) is not None
        lead_table = ("downlink_bit", "bit") if sampled else ("fixed_s", "s")
        shape = checks.table_shape(lead_table[0], getattr(self, lead_table[0]), lead_table[1], what, more)
        of = {**{n: (u, True, lead + 2) for n, u in TABLES.items()}, **{n: (*v, lead + 1) for n, v in VECTORS.items()}}
        for name, (unit, zero, dimensions) in of.items():
            value = getattr(self, name)
            if value is not None and name in NO_LIMIT:
                value = checks.plain(name, value, f"numbers [{unit}], shape {shape[:dimensions]}")
                value = np.where(value == np.inf, np.float64(NO_LIMIT[name]), value)
            if value is not None or (name in NEEDED and not (sampled and name in ("fixed_s", "edge_work_s"))):
                found = checks.numbers(name, value, shape[:dimensions], unit, zero=zero, axes=axes, copy=copy)
                self._store(name, checks.read_only(found))
        for name, unit in BUDGETS.items():
            value = getattr(self, name)
            if lead and value is not None and checks.plain(name, value, f"numbers [{unit}]").ndim == 0:
                value = np.full(shape[:lead], float(checks.numbers(name, value, (), unit)))
            found = checks.numbers(name, value, shape[:lead], unit, axes=axes)
            self._store(name, checks.read_only(found) if lead else float(found))
        if self.allowed is not None:
            self._store("allowed", checks.read_only(checks.flags("allowed", self.allowed, shape, axes)))
        self._check_rates()

    def _store(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_rates(self) -> None:
        for side in ("downlink", "uplink"):
            efficiency, snr = getattr(self, f"{side}_efficiency"), getattr(self, f"{side}_snr_hz")
            if efficiency is not None and snr is not None:
                expected = f"exactly one of {side}_efficiency and {side}_snr_hz"
                raise InvalidInput(f"{side}_snr_hz", "given", expected, "Remove one.")
            if efficiency is None and snr is None and getattr(self, f"{side}_bit").any():
                expected = f"{side}_efficiency [bit/s/Hz] or {side}_snr_hz [Hz], because options send over this link"
                raise InvalidInput(f"{side}_efficiency", None, expected, "Add one of them.")

    # ---- shapes and defaults

    @property
    def users(self) -> int:
        """K."""
        return int(self.downlink_bit.shape[-2])

    @property
    def options(self) -> int:
        """O."""
        return int(self.downlink_bit.shape[-1])

    @cached_property
    def weights(self) -> Array:
        """Weights with their default, (..., K) [1]."""
        return np.ones(self.downlink_bit.shape[:-1]) if self.weight is None else self.weight

    @cached_property
    def hard_deadline_s(self) -> Array:
        """Hard limits on the latency, (..., K) [s]; infinite where there is none."""
        if self.deadline_s is None or self.objective == "missed":
            return np.full(self.downlink_bit.shape[:-1], np.inf)
        return np.where(self.deadline_s >= checks.NO_DEADLINE_S, np.inf, self.deadline_s)

    @cached_property
    def on_time_s(self) -> Array:
        """`deadline_s` with room for rounding: the latest a user is on time, (..., K) [s]; infinite without any."""
        if self.deadline_s is None:
            return np.full(self.downlink_bit.shape[:-1], np.inf)
        return checks.on_time(self.deadline_s)

    @cached_property
    def first_places(self) -> NDArray[np.intp]:
        """Places of the users' first options in a table seen as one row, (..., K)."""
        return np.arange(0, self.downlink_bit.size, self.options).reshape(self.downlink_bit.shape[:-1])

    @cached_property
    def budgets(self) -> Array:
        """Downlink, uplink and edge to share, (..., 3, 1) [Hz, Hz, 1]."""
        return np.stack([self.downlink_hz, self.uplink_hz, self.edge_capacity], axis=-1)[..., None]

    @cached_property
    def linear_speeds(self) -> Array:
        """Speed of a unit of downlink, uplink and edge under linear rates, (..., 3, K) [bit/s/Hz, bit/s/Hz, 1]."""
        speeds = np.ones((*self.downlink_bit.shape[:-2], 3, self.users))
        for row, efficiency in enumerate((self.downlink_efficiency, self.uplink_efficiency)):
            speeds[..., row, :] = 0.0 if efficiency is None else efficiency
        return speeds

    @property
    def linear(self) -> bool:
        """Whether no direction has a Shannon rate."""
        return self.downlink_snr_hz is None and self.uplink_snr_hz is None

    @property
    def sequential(self) -> bool:
        """Whether no option has a device branch beside the edge branch."""
        return self.device_branch_s is None or not self.device_branch_s.any()

    def rate(self, direction: str, band_hz: ArrayLike) -> Array:
        """Rate of every user [bit/s] on bands (..., K) [Hz]; direction "downlink" or "uplink"."""
        efficiency = getattr(self, f"{direction}_efficiency")
        if efficiency is not None:
            return linear_rate(band_hz, efficiency)
        snr = getattr(self, f"{direction}_snr_hz")
        return np.zeros(self.downlink_bit.shape[:-1]) if snr is None else shannon_rate(band_hz, snr)
