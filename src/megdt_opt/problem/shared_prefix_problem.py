"""Groups of users who may run their common steps once: the shared prefix, its multicast, and devices that cooperate.

L_k = fixed + uplink_bit / rate_u(b_k) + edge_work / f_k + downlink_bit / rate_d(b_k)                       (own stages)
    + [rides >= 1] (trunk_fixed + trunk_uplink_bit / rate_u(B_g) + trunk_edge_work / min(F_g, cap))         (trunk)
    + [rides = 2]  multicast_bit / rate_d(M_g)                                                              (multicast)

all in series. A trunk's uplink is part of `uplink_hz`, its multicast part of `downlink_hz`. With `reserve="phased"` a
group has one edge share F_g: the trunk runs on it, then the riders divide it, sum f_k <= F_g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.evaluation import Evaluation
from megdt_opt.problem.prefix_arrays import Array, PrefixArrays
from megdt_opt.problem.prefix_evaluation import evaluate_prefix


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedPrefixProblem(PrefixArrays):
    """Options of K users, and Q trunks that groups of them may share.

    Parameters
    ----------
    fixed_s : array_like, (K, O)
        Latency of a member's own stages that no shared resource shortens [s].
    uplink_bit, downlink_bit : array_like, (K, O)
        Payloads of its own stages [bit].
    edge_work_s : array_like, (K, O)
        Its own time on one whole edge server [s].
    rides : array_like of int, (K, O)
        0: the option ignores the trunk; 1: it waits for the trunk; 2: for the trunk and its multicast.
    group : array_like of int, (K,), or None
        Group of each user, 0 to G - 1 without holes, of at least two users each; -1: in none. None: the groups are to
        be formed by `similarity`.
    trunk_group : array_like of int, (Q,), or None
        The group that may run each trunk; None where groups are formed, of which each takes a copy.
    trunk_fixed_s, trunk_uplink_bit, trunk_edge_work_s, multicast_bit : array_like, (Q,)
        The shared stages [s, bit, s, bit]; the compute of a cooperating device is `trunk_fixed_s`.
    compatible : array_like of bool, (K, O, Q)
        Whether an option may be taken while a trunk runs; False for the users of other groups.
    downlink_hz, uplink_hz : float
        Bands to share [Hz]. A band of zero closes the options and trunks that demand it.
    edge_capacity : float
        Edge servers to share [1].
    reserve : str
        "phased": a group reserves one edge share, on which the trunk runs and which the riders divide afterwards.
        "separate": the trunk and each rider reserve shares of their own.
    allowed : array_like of bool, (K, O), optional
        False where a limit that does not depend on the shares rules the option out.
    weight : array_like, (K,), optional
        Weights > 0 [1]; default 1.
    edge_share_max : array_like, (K,), optional
        Most that one user's own chain can use [1]; infinite or left out: no cap.
    trunk_edge_share_max : array_like, (Q,), optional
        Most that a trunk's chain can use [1]: its speed is min(F, cap).
    trunk_uplink_airtime_max_s : array_like, (Q,), optional
        Limit on trunk_uplink_bit / rate_u(B) [s], from the energy that the sender has left for it.
    downlink_efficiency, uplink_efficiency : array_like, (K,), optional
        Linear rate: r = e b [bit/s/Hz].
    downlink_snr_hz, uplink_snr_hz : array_like, (K,), optional
        Shannon rate: r = b log2(1 + g / b) [Hz]. Exactly one of efficiency and snr for each direction, the same for
        members and trunks; neither is needed for a direction that nothing uses.
    trunk_uplink_efficiency, multicast_efficiency, trunk_uplink_snr_hz, multicast_snr_hz : array_like, (Q,), optional
        The same, of a trunk's sender and of the weakest member that its multicast admits.
    similarity : array_like, (K, K), optional
        How alike the users' contents are, from 0 to 1, symmetric; goes with `group=None`.
    similarity_min : float, optional
        Least similarity of any two users of a group.
    group_size_max : int, optional
        Most users of a group, at least 2.
    trunk_similarity_min : array_like, (Q,), optional
        Least similarity of any two users of a group that runs the trunk; default 0.
    trunk_lead : array_like of int, (Q,), optional
        User who must be a member of the group that runs the trunk, riding or not; -1 = nobody in particular.
    objective : str
        "max": max_k w_k L_k; "sum": sum_k w_k L_k.

    Raises
    ------
    InvalidInput
        Where an array has another shape or numbers out of range, a group has one member or a hole, an option fits the
        trunk of a stranger, a similarity is no number in [0, 1] or not symmetric, or fields contradict each other; the
        message names field, place, value, unit and remedy.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from megdt_opt import SharedPrefixProblem
    >>> problem = SharedPrefixProblem(  # two users of one group: on the device, or the last steps after a common trunk
    ...     fixed_s=[[6.0, 1.0], [6.0, 1.0]], edge_work_s=[[0.0, 0.0], [0.0, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_bit=[[0.0, 0.0], [0.0, 0.0]], rides=[[0, 2], [0, 2]], group=[0, 0], trunk_group=[0],
    ...     trunk_fixed_s=[0.0], trunk_uplink_bit=[0.0], trunk_edge_work_s=[1.0], multicast_bit=[1e6],
    ...     compatible=[[[True], [True]], [[True], [True]]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 1.0], multicast_efficiency=[1.0], objective="max",
    ... )
    >>> problem.users, problem.options, problem.groups, problem.trunks
    (2, 2, 1, 1)
    >>> answer = SimpleNamespace(
    ...     option=[1, 1], trunk=[0], uplink_hz=[0.0, 0.0], edge_share=[0.0, 0.0], downlink_hz=[0.0, 0.0],
    ...     trunk_uplink_hz=[0.0], trunk_edge_share=[1.0], multicast_hz=[1e6],
    ... )
    >>> found = problem.evaluate(answer)
    >>> found.latency_s.tolist(), found.objective_s, found.violation
    ([3.0, 3.0], 3.0, 0.0)
    """

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
    edge_capacity: float = 1.0
    group: NDArray[np.int64] | None = None
    trunk_group: NDArray[np.int64] | None = None
    reserve: str = "phased"
    allowed: NDArray[np.bool_] | None = None
    weight: Array | None = None
    edge_share_max: Array | None = None
    trunk_edge_share_max: Array | None = None
    trunk_uplink_airtime_max_s: Array | None = None
    downlink_efficiency: Array | None = None
    uplink_efficiency: Array | None = None
    downlink_snr_hz: Array | None = None
    uplink_snr_hz: Array | None = None
    trunk_uplink_efficiency: Array | None = None
    multicast_efficiency: Array | None = None
    trunk_uplink_snr_hz: Array | None = None
    multicast_snr_hz: Array | None = None
    similarity: Array | None = None
    similarity_min: float | None = None
    group_size_max: int | None = None
    trunk_similarity_min: Array | None = None
    trunk_lead: NDArray[np.int64] | None = None
    objective: str = "max"

    def __repr__(self) -> str:
        formed = "groups to be formed" if self.group is None else f"{self.groups} groups"
        return f"<SharedPrefixProblem: {self.users} users, {self.options} options, {formed}, {self.objective}>"

    def __post_init__(self) -> None:
        self._read()

    def evaluate(self, answer: Any) -> Evaluation:
        """Latency, objective and violation of an answer; solvers' own figures are never reported.

        Parameters
        ----------
        answer : object
            With `option` (K,); `trunk` (G,), the trunk that each group runs, -1 = none; `uplink_hz`, `edge_share`,
            `downlink_hz` (K,); `trunk_uplink_hz`, `trunk_edge_share`, `multicast_hz` (G,); where groups are formed also
            `group` (K,). Nothing else of it is read. A trunk that nobody rides does not run, costs and binds nothing.

        Returns
        -------
        Evaluation
            Latencies [s], objective [s], and the worst relative violation of a limit [1]; infinite for options, trunks
            or groups that do not go together.

        Raises
        ------
        InvalidInput
            Where a decision is missing, has another shape, or names what is not there.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> from megdt_opt import SharedPrefixProblem
        >>> problem = SharedPrefixProblem(  # one user alone on its device, and no trunk
        ...     fixed_s=[[2.0]], edge_work_s=[[0.0]], uplink_bit=[[0.0]], downlink_bit=[[0.0]], rides=[[0]], group=[-1],
        ...     trunk_group=[], trunk_fixed_s=[], trunk_uplink_bit=[], trunk_edge_work_s=[], multicast_bit=[],
        ...     compatible=[[[]]], downlink_hz=0.0, uplink_hz=0.0,
        ... )
        >>> nothing = dict(uplink_hz=[0.0], edge_share=[0.0], downlink_hz=[0.0])
        >>> of_groups = dict(trunk=[], trunk_uplink_hz=[], trunk_edge_share=[], multicast_hz=[])
        >>> problem.evaluate(SimpleNamespace(option=[0], **nothing, **of_groups)).objective_s
        2.0
        """
        return evaluate_prefix(self, answer)
