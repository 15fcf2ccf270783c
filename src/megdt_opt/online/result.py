"""What a simulation found: every request's way, and what follows from all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from megdt_opt.files import write_text
from megdt_opt.online.service import Service
from megdt_opt.online.trace import Trace
from megdt_opt.si import percent
from megdt_opt.values import real

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """A trace served by one policy.

    Parameters
    ----------
    policy : str
        Its name.
    service : Service
    trace : Trace
    done_s : array, (n,)
        When each picture is there [s].
    made_at_edge : array of bool, (n,)
        Whether the edge made it.
    served_s, computed_s, sent_s : array, (n,)
        Time that the edge worked on each request, that its device computed, and that it sent [s]: what came to nothing
        included.
    turn_request : array of int, (m,)
        Whom the edge served, turn by turn.
    turn_begin_s, turn_end_s : array, (m,)
        When each turn began and ended [s].
    largest_flow_bound_s : float or None
        No policy has a smaller largest flow time, whatever it knows [s]; the optimum itself where links are constant.
    mean_flow_bound_s : float or None
        No policy has a smaller weighted mean of the flow times [s].
    plannings : int
        How often active requests were planned again [1].
    run_s : float
        Seconds that the simulation took [s].

    Examples
    --------
    >>> from megdt_opt.online import Service, Trace, simulate
    >>> service = Service(local_s=[2.0], edge_s=[1.0])
    >>> found = simulate(service, Trace(arrival_s=[0.0, 0.0, 0.0], user=[0, 0, 0], users=1))
    >>> found.flow_s.tolist(), found.largest_flow_bound_s
    ([1.0, 2.0, 2.0], 2.0)
    """

    policy: str
    service: Service
    trace: Trace
    done_s: Array
    made_at_edge: NDArray[np.bool_]
    served_s: Array
    computed_s: Array
    sent_s: Array
    turn_request: NDArray[np.int64]
    turn_begin_s: Array
    turn_end_s: Array
    largest_flow_bound_s: float | None = None
    mean_flow_bound_s: float | None = None
    plannings: int = 0
    run_s: float = 0.0

    # ---- latency

    @property
    def flow_s(self) -> Array:
        """Time from each request to its picture, (n,) [s]."""
        return self.done_s - self.trace.arrival_s

    @property
    def largest_flow_s(self) -> float:
        """The largest of them [s]."""
        return float(self.flow_s.max())

    @property
    def mean_flow_s(self) -> float:
        """Their mean with the users' weights [s]."""
        weight = self.service.weight[self.trace.user]
        return float(weight @ self.flow_s / weight.sum())

    def flow_quantile_s(self, level: float) -> float:
        """The flow time within which this part of the requests is done [s]: one that occurs, the larger of two."""
        return float(np.quantile(self.flow_s, level, method="higher"))

    @property
    def ratio(self) -> float | None:
        """Largest flow time over its clairvoyant bound [1]; None without a bound."""
        return _over(self.largest_flow_s, self.largest_flow_bound_s)

    @property
    def mean_ratio(self) -> float | None:
        """Mean flow time over its clairvoyant bound [1]; None without a bound."""
        return _over(self.mean_flow_s, self.mean_flow_bound_s)

    @property
    def late(self) -> NDArray[np.bool_]:
        """Whose picture came after its deadline, (n,)."""
        found: NDArray[np.bool_] = self.flow_s > self.service.deadline_s[self.trace.user] * (1 + 1e-12)
        return found

    # ---- use of the edge

    @property
    def end_s(self) -> float:
        """When the last picture is there [s]."""
        return float(self.done_s.max())

    @property
    def utilisation(self) -> float:
        """Part of the time, from 0 to the last picture, in which the edge worked [1]."""
        return float((self.turn_end_s - self.turn_begin_s).sum() / self.end_s) if self.end_s > 0 else 0.0

    @property
    def in_vain(self) -> float:
        """Part of the edge's work on pictures that devices made [1]."""
        total = float(self.served_s.sum())
        return float(self.served_s[~self.made_at_edge].sum()) / total if total > 0 else 0.0

    # ---- age of information

    @property
    def age_mean_s(self) -> Array:
        """Mean age of what each user's pictures show, from its first picture to its last, (K,) [s].

        The age at t is t less the time at which the state was captured that the newest of the user's pictures shows:
        the arrival of its request. NaN for users with fewer than two pictures at different times.
        """
        return self._ages[0]

    @property
    def age_peak_s(self) -> Array:
        """Largest such age, just before a newer picture comes, (K,) [s]."""
        return self._ages[1]

    @property
    def _ages(self) -> tuple[Array, Array]:
        mean, peak = np.full(self.service.users, np.nan), np.full(self.service.users, np.nan)
        for k in range(self.service.users):
            own = np.flatnonzero(self.trace.user == k)
            order = own[np.lexsort((self.trace.arrival_s[own], self.done_s[own]))]
            at, shown = self.done_s[order], np.maximum.accumulate(self.trace.arrival_s[order])
            if len(at) < 2 or at[-1] <= at[0]:
                continue
            low, high = at[:-1] - shown[:-1], at[1:] - shown[:-1]
            mean[k] = float(((low + high) / 2 * np.diff(at)).sum() / (at[-1] - at[0]))
            peak[k] = float(high.max())
        return mean, peak

    # ---- energy

    @property
    def device_j(self) -> Array | None:
        """Energy of each request's device for computing and sending, (n,) [J]; None where powers are not known."""
        compute_w, transmit_w, who = self.service.compute_w, self.service.transmit_w, self.trace.user
        if compute_w is None or transmit_w is None:
            return None
        return self.computed_s * compute_w[who] + self.sent_s * transmit_w[who]

    @property
    def edge_j(self) -> float | None:
        """Energy of the edge's computing [J]; None where its power is not known."""
        return None if self.service.edge_w is None else float(self.service.edge_w * self.served_s.sum())

    # ---- as tables

    def summary(self) -> dict[str, float | str | None]:
        """One row: the policy and its figures, each with its unit in the name; None for what is not known."""
        device_j = self.device_j
        age = self.age_mean_s[np.isfinite(self.age_mean_s)], self.age_peak_s[np.isfinite(self.age_peak_s)]
        return {
            "policy": self.policy,
            "requests": float(len(self.trace)),
            "largest_flow_s": self.largest_flow_s,
            "largest_flow_bound_s": self.largest_flow_bound_s,
            "ratio": self.ratio,
            "mean_flow_s": self.mean_flow_s,
            "mean_flow_bound_s": self.mean_flow_bound_s,
            "mean_ratio": self.mean_ratio,
            **{f"flow_p{level}_s": self.flow_quantile_s(level / 100) for level in (50, 90, 95, 99)},
            "late": float(self.late.mean()),
            "at_edge": float(self.made_at_edge.mean()),
            "utilisation": self.utilisation,
            "in_vain": self.in_vain,
            "age_mean_s": float(age[0].mean()) if age[0].size else None,
            "age_peak_s": float(age[1].max()) if age[1].size else None,
            "device_j": None if device_j is None else float(device_j.mean()),
            "edge_j": None if self.edge_j is None else self.edge_j / len(self.trace),
        }

    def to_frame(self) -> pd.DataFrame:
        """One row for each request: its times [s], where its picture was made, and what was spent on it."""
        import pandas as pd

        names = self.service.names
        return pd.DataFrame(
            {
                "request": np.arange(len(self.trace)),
                "user": [names[k] for k in self.trace.user],
                "arrival_s": self.trace.arrival_s,
                "done_s": self.done_s,
                "flow_s": self.flow_s,
                "made_at": np.where(self.made_at_edge, "edge", "device"),
                "late": self.late,
                "served_s": self.served_s,
                "computed_s": self.computed_s,
                "sent_s": self.sent_s,
            }
        )

    def to_csv(self, path: str | Path) -> Path:
        """Write `to_frame` as CSV, whole or not at all; the same seed gives the same bytes.

        Raises
        ------
        InvalidInput
            Where the file cannot be written.
        """
        write_text(path, self.to_frame().to_csv(index=False))
        return Path(path)

    def __str__(self) -> str:
        told = f"{self.policy}: {len(self.trace)} requests, largest {self.largest_flow_s:.4g} s"
        if self.ratio is not None:
            told += f" ({self.ratio:.3f} times the clairvoyant {self.largest_flow_bound_s:.4g} s)"
        late, used = (percent(100 * float(part), 1, signed=False) for part in (self.late.mean(), self.utilisation))
        return f"{told}, mean {self.mean_flow_s:.4g} s, {late} late, edge used {used}"


def _over(value: float, bound: float | None) -> float | None:
    known = real(bound)
    if known is None:
        return None
    return 1.0 if value == known else value / known if known > 0 else float("inf")
