"""A scenario whose edge serves whole chains one after another: its options, and its `SequencedEdgeProblem`.

The uplink is not shared by prices: each user that may send has the same part of its band, whoever sends in the end. So
an option's release, and the energy of its device, are known before the order of the turns is.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict, NotRepresentable
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.program.costs import Costs
from megdt_opt.program.stages import Send, Stage, is_edge, leaves
from megdt_opt.program.turns import TurnTerms, check_turn, has_turn, turn_terms
from megdt_opt.radio.rates import linear_rate, shannon_rate
from megdt_opt.scenario.problems import law_of
from megdt_opt.scenario.rules import ruled_out_by_wish
from megdt_opt.scenario.serving import Offer
from megdt_opt.units import show


class InTurns:
    """The edge of an offer, which serves chains in turns; a `serving.Serving`.

    Parameters
    ----------
    offer : Offer
        The table of options.
    """

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def closed(self, user: int, stages: Stage, costs: Costs) -> tuple[list[Conflict], bool]:
        """Programs without one turn, links that carry nothing, energy of computing and sending, and deadlines that no
        order can keep."""
        try:
            check_turn(stages)
        except NotRepresentable as error:
            words = str(error).replace("{", "{{").replace("}", "}}")
            return [Conflict(user, "turns", 0.0, "", f"not planned in turns: {words}")], False
        scenario = self._offer.scenario
        who = scenario.users[user]
        down, up = (float(rates[user]) for rates in self._most)
        down_bit, up_bit = (self._sent_bit(user, stages, side) for side in (False, True))
        if (up_bit and not up > 0) or (down_bit and not down > 0):
            return [Conflict(user, "links", 0.0, "bit/s", "{limit}: one that the option needs carries nothing")], False
        found, computing_j = [], costs.device_compute_j
        if who.energy_max_j is not None and computing_j is not None and computing_j <= who.energy_max_j:
            sending_j = who.device.transmit_power_w * (up_bit / up if up_bit else 0.0)
            if computing_j + sending_j > who.energy_max_j:
                words = "{limit} {value} per picture: computing, also while it waits, and sending exceed it"
                found.append(Conflict(user, "energy", who.energy_max_j, "J", words))
        if who.deadline_s is not None:
            terms = self._terms(user, stages, up)
            least_s = terms.release_s + terms.edge_work_s + terms.after_s + (down_bit / down if down_bit else 0.0)
            if least_s > who.deadline_s:
                words = f"{{limit}} {{value}}: no order can finish it in time, alone it takes {show(least_s, 's')}"
                found.append(Conflict(user, "deadline", who.deadline_s, "s", words))
        return found, True

    def problem(self, allowed: NDArray[np.bool_], *, waived: bool = False) -> SequencedEdgeProblem:
        """The problem of the options that are allowed, (K, O); `waived` as for `uplink_hz`."""
        scenario = self._offer.scenario
        up = self._rates(1, self.uplink_hz(waived=waived))
        names = ("release_s", "edge_work_s", "after_s", "downlink_bit")
        tables: dict[str, Any] = {name: np.zeros(allowed.shape) for name in names}
        for k, o in np.argwhere(allowed).tolist():
            terms = self._terms(k, self._offer.program(k, o), float(up[k]))
            for name in names:
                tables[name][k, o] = getattr(terms, name)
        law = "downlink_snr_hz" if scenario.channel.law == "shannon" else "downlink_efficiency"
        tables[law] = self._laws[0]
        return SequencedEdgeProblem(
            **tables, downlink_hz=scenario.sites[0].downlink_hz, allowed=allowed, weight=scenario.weights,
            objective=scenario.objective,
        )  # fmt: skip

    def uplink_hz(self, *, waived: bool = False) -> float:
        """The part of the uplink's band that each user has who may send [Hz]; `waived`: whatever they wish."""
        return self._offer.scenario.sites[0].uplink_hz / max(self._senders[waived], 1)

    def sends(self, user: int, option: int) -> bool:
        """Whether an option of a user sends on the uplink."""
        return any(map(_is_up, leaves(self._offer.program(user, option))))

    def rate(self, side: str, user: int, band_hz: float) -> float:
        """Rate of a user on a band of the "downlink" or the "uplink" [bit/s]."""
        return float(self._rates(("downlink", "uplink").index(side), band_hz)[user])

    def notes(self) -> tuple[str, ...]:
        """How the edge and the uplink are divided."""
        count, users = self._senders[False], len(self._offer.scenario.users)
        whole, part = (show(hz, "Hz") for hz in (self._offer.scenario.sites[0].uplink_hz, self.uplink_hz()))
        found = "The edge serves one chain at a time, whole and at full speed, in the order planned."
        if count:
            found += f" {count} of {users} users may send, so each has {part} of the uplink's {whole}"
            found += ": what is proven is meant given that."
        return (found,)

    @cached_property
    def _senders(self) -> tuple[int, int]:
        """How many users may send: who have an option with a turn that sends, among those that they accept, and among
        all [1]."""
        users = range(len(self._offer.scenario.users))
        return sum(self._may_send(k, False) for k in users), sum(self._may_send(k, True) for k in users)

    def _may_send(self, k: int, waived: bool) -> bool:
        user = self._offer.scenario.users[k]
        for o, option in enumerate(self._offer.options):
            closed, possible = ruled_out_by_wish(k, user, option)
            if not possible or (closed and not waived):
                continue
            stages = self._offer.program(k, o)
            if any(map(_is_up, leaves(stages))) and has_turn(stages):
                return True
        return False

    def _sent_bit(self, k: int, stages: Stage, up: bool) -> float:
        sent = (leaf for leaf in leaves(stages) if isinstance(leaf, Send) and _is_up(leaf) == up)
        return sum(self._offer.send_bit(leaf, k) for leaf in sent)

    def _terms(self, k: int, stages: Stage, uplink_bit_per_s: float) -> TurnTerms:
        return turn_terms(
            stages, compute_s=self._offer.seconds, send_bit=lambda leaf: self._offer.send_bit(leaf, k),
            uplink_bit_per_s=uplink_bit_per_s, propagation_s=self._offer.scenario.channel.propagation_s,
        )  # fmt: skip

    def _rates(self, side: int, band_hz: float) -> NDArray[np.float64]:
        """Rates of all users with this band, (K,) [bit/s]; side 0 is the downlink, 1 the uplink."""
        law = shannon_rate if self._offer.scenario.channel.law == "shannon" else linear_rate
        return np.asarray(law(np.full(len(self._offer.scenario.users), band_hz), self._laws[side]))

    @cached_property
    def _most(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rates on the whole downlink, and on a user's part of the uplink, each (K,) [bit/s]."""
        return self._rates(0, self._offer.scenario.sites[0].downlink_hz), self._rates(1, self.uplink_hz())

    @cached_property
    def _laws(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        down, up = law_of(self._offer.scenario)
        return down[:, 0], up[:, 0]


def _is_up(leaf: object) -> bool:
    return isinstance(leaf, Send) and not is_edge(leaf.source)
