"""What disciplines have in common under which the edge's time is not reserved: the uplink, and what closes options.

The uplink is not shared by prices: each user that may send has the same part of its band, whoever sends in the end. So
what an option takes before the edge serves it, and the energy of its device, are known before the order of service is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict, NotRepresentable
from megdt_opt.program.costs import Costs
from megdt_opt.program.stages import Send, Stage, is_edge, leaves
from megdt_opt.program.turns import first_in_turn
from megdt_opt.radio.rates import linear_rate, shannon_rate
from megdt_opt.scenario.problems import law_of
from megdt_opt.scenario.rules import ruled_out_by_wish
from megdt_opt.scenario.serving import Offer
from megdt_opt.units import show


class Undivided(ABC):
    """The edge of an offer, which is not divided into shares; with `problem` and `notes` a `serving.Serving`.

    Parameters
    ----------
    offer : Offer
        The table of options.
    """

    named: str
    """What the discipline is called in reasons."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def arranged(self, user: int, stages: Stage) -> Stage:
        """As its mechanism has it."""
        return stages

    @abstractmethod
    def require(self, stages: Stage) -> None:
        """Raise NotRepresentable, which names the stage, for programs that the discipline does not plan."""

    @abstractmethod
    def least_s(self, user: int, stages: Stage, rates_bit_per_s: tuple[float, float]) -> float:
        """Latency of a user whom the edge serves alone, on these rates of downlink and uplink [s]."""

    def closed(self, user: int, stages: Stage, costs: Costs) -> tuple[list[Conflict], bool]:
        """Programs of another form, links that carry nothing, energy of computing and sending, and deadlines that no
        order can keep."""
        try:
            self.require(stages)
        except NotRepresentable as error:
            words = str(error).replace("{", "{{").replace("}", "}}")
            return [Conflict(user, self.named, 0.0, "", f"not planned in {self.named}: {words}")], False
        who = self._offer.scenario.users[user]
        down, up = (float(rates[user]) for rates in self._most)
        down_bit, up_bit = (self.sent_bit(user, stages, up=side) for side in (False, True))
        if (up_bit and not up > 0) or (down_bit and not down > 0):
            return [Conflict(user, "links", 0.0, "bit/s", "{limit}: one that the option needs carries nothing")], False
        found, computing_j = [], costs.device_compute_j
        if who.energy_max_j is not None and computing_j is not None and computing_j <= who.energy_max_j:
            sending_j = who.device.transmit_power_w * (up_bit / up if up_bit else 0.0)
            if computing_j + sending_j > who.energy_max_j:
                words = "{limit} {value} per picture: computing, also while it waits, and sending exceed it"
                found.append(Conflict(user, "energy", who.energy_max_j, "J", words))
        if who.deadline_s is not None:
            least_s = self.least_s(user, stages, (down, up))
            if least_s > who.deadline_s:
                words = f"{{limit}} {{value}}: no order can finish it in time, alone it takes {show(least_s, 's')}"
                found.append(Conflict(user, "deadline", who.deadline_s, "s", words))
        return found, True

    def uplink_hz(self, *, waived: bool = False) -> float:
        """The part of the uplink's band that each user has who may send [Hz]; `waived`: whatever they wish."""
        return self._offer.scenario.sites[0].uplink_hz / max(self.senders[waived], 1)

    def sends(self, user: int, option: int) -> bool:
        """Whether an option of a user sends on the uplink."""
        return any(map(_is_up, leaves(self._offer.declared(user, option))))

    def rate(self, side: str, user: int, band_hz: float) -> float:
        """Rate of a user on a band of the "downlink" or the "uplink" [bit/s]."""
        return float(self.rates(("downlink", "uplink").index(side), band_hz)[user])

    @property
    def division(self) -> str:
        """How the uplink is divided, in words; "" where nobody may send."""
        count, users = self.senders[False], len(self._offer.scenario.users)
        whole, part = (show(hz, "Hz") for hz in (self._offer.scenario.sites[0].uplink_hz, self.uplink_hz()))
        return f"{count} of {users} users may send, so each has {part} of the uplink's {whole}" if count else ""

    @property
    def dated(self) -> str:
        """What is proven beside deadlines, in words; "" without any."""
        if all(user.deadline_s is None for user in self._offer.scenario.users):
            return ""
        return " Deadlines are kept; the bound is that of plans without them, which are no slower."

    @cached_property
    def senders(self) -> tuple[int, int]:
        """How many users may send: who have an option that the edge serves and that sends, among those that they
        accept, and among all [1]."""
        users = range(len(self._offer.scenario.users))
        return sum(self._may_send(k, False) for k in users), sum(self._may_send(k, True) for k in users)

    def _may_send(self, k: int, waived: bool) -> bool:
        user = self._offer.scenario.users[k]
        for o, option in enumerate(self._offer.options):
            closed, possible = ruled_out_by_wish(k, user, option)
            if not possible or (closed and not waived):
                continue
            stages = self._offer.declared(k, o)
            if any(map(_is_up, leaves(stages))) and self.serves(stages):
                return True
        return False

    def serves(self, stages: Stage) -> bool:
        """Whether the edge takes part in a program, and the discipline plans it."""
        try:
            self.require(stages)
        except NotRepresentable:
            return False
        return first_in_turn(stages) is not None

    def sent_bit(self, k: int, stages: Stage, *, up: bool) -> float:
        """Payloads on one of the two links [bit]."""
        sent = (leaf for leaf in leaves(stages) if isinstance(leaf, Send) and _is_up(leaf) == up)
        return sum(self._offer.send_bit(leaf, k) for leaf in sent)

    def rates(self, side: int, band_hz: float) -> NDArray[np.float64]:
        """Rates of all users with this band, (K,) [bit/s]; side 0 is the downlink, 1 the uplink."""
        law = shannon_rate if self._offer.scenario.channel.law == "shannon" else linear_rate
        return np.asarray(law(np.full(len(self._offer.scenario.users), band_hz), self.laws[side]))

    @cached_property
    def _most(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rates on the whole downlink, and on a user's part of the uplink, each (K,) [bit/s]."""
        return self.rates(0, self._offer.scenario.sites[0].downlink_hz), self.rates(1, self.uplink_hz())

    @cached_property
    def laws(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Efficiencies [bit/s/Hz] or SNR-bandwidth products [Hz] of downlink and uplink, each (K,)."""
        down, up = law_of(self._offer.scenario)
        return down[:, 0], up[:, 0]


def _is_up(leaf: object) -> bool:
    return isinstance(leaf, Send) and not is_edge(leaf.source)
