"""A scenario whose edge makes steps of several chains in one pass: its options, and its `BatchedEdgeProblem`.

The edge starts when the request of the last user that may send can be there and is encoded; until then those users
have equal parts of its time. A device that encodes the prompt for itself does so before it sends where nobody waits for
it, and else before it goes on: so a slow device does not hold up the others. A user's payload is of one length whatever
the cut, as the class of problems has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict, ProfileError
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.program.batches import batched_step, check_batched, cut_of, encoded_behind
from megdt_opt.program.costs import Costs
from megdt_opt.program.stages import Compute, Kind, Send, Stage, is_edge, leaves
from megdt_opt.scenario.rules import ruled_out_by_wish
from megdt_opt.scenario.undivided import Undivided
from megdt_opt.timing.batch_law import BatchLaw
from megdt_opt.tolerances import EXACT
from megdt_opt.units import show

NONE = -1
"""What stands for an option that there is not."""


@dataclass(frozen=True)
class _Times:
    """Of a program: until its steps at the edge may begin, a step on the device, what the device does before it makes
    some, and what follows [s]."""

    before_s: float
    device_step_s: float
    hand_over_s: float
    after_s: float


def _precision(stages: Stage) -> str:
    """Precision of what the edge hands over."""
    return next((x.precision for x in leaves(stages) if isinstance(x, Send) and is_edge(x.source)), "")


class InBatches(Undivided):
    """The edge of an offer, which makes steps in batches; a `serving.Serving`."""

    named = "batches"

    def arranged(self, user: int, stages: Stage) -> Stage:
        """The device's own encoding of the prompt behind the hand-over, where others would wait for it."""
        return encoded_behind(stages) if user in self._holding else stages

    @cached_property
    def _holding(self) -> frozenset[int]:
        """Users for whose device's encoding the batches would wait longer than for any request."""
        up, last_s = self.rates(1, self.uplink_hz()), 0.0
        own_s: dict[int, float] = {}
        for k, user in enumerate(self._offer.scenario.users):
            for o, option in enumerate(self._offer.options):
                closed, possible = ruled_out_by_wish(k, user, option)
                if closed or not possible:
                    continue
                stages = self._offer.declared(k, o)
                try:
                    if self.serves(stages):
                        last_s = max(last_s, self._times(k, encoded_behind(stages), float(up[k])).before_s)
                        own_s[k] = max(own_s.get(k, 0.0), self._times(k, stages, float(up[k])).before_s)
                except ProfileError:  # is closed by name
                    continue
        return frozenset(k for k, before_s in own_s.items() if before_s > last_s * (1 + EXACT))

    def require(self, stages: Stage) -> None:
        """Refuse programs in which the edge does not make the first steps, and them alone; raises NotRepresentable."""
        check_batched(stages)

    def closed(self, user: int, stages: Stage, costs: Costs) -> tuple[list[Conflict], bool]:
        """As all disciplines, and hand-overs of another length than that after the most steps that the user accepts."""
        found, possible = super().closed(user, stages, costs)
        if possible and cut_of(stages):
            bit, most_bit = self.sent_bit(user, stages, up=False), self._most_steps_bit(user, _precision(stages))
            if bit != most_bit:
                words = (
                    f"not planned in batches: the hand-over takes {show(bit, 'bit')}, that after the user's most steps "
                    f"{show(most_bit, 'bit')}: a sampler's history is in one alone, and payloads are of one length"
                )
                found.append(Conflict(user, self.named, 0.0, "", words))
        return found, possible

    def _most_steps_bit(self, k: int, precision: str) -> float:
        """The hand-over after the most steps that a user accepts in a precision, or may have at all [bit]."""
        if k not in self._hand_overs:
            lengths: dict[str, tuple[bool, int, float]] = {}
            for o, option in enumerate(self._offer.options):
                closed, possible = ruled_out_by_wish(k, self._offer.scenario.users[k], option)
                stages = self._offer.program(k, o) if possible else None
                if stages is not None and self.serves(stages):
                    this = (not closed, cut_of(stages), self.sent_bit(k, stages, up=False))
                    name = _precision(stages)
                    lengths[name] = max(lengths.get(name, this), this, key=lambda one: one[:2])
            self._hand_overs[k] = {name: bit for name, (_, _, bit) in lengths.items()}
        return self._hand_overs[k][precision]

    @cached_property
    def _hand_overs(self) -> dict[int, dict[str, float]]:
        return {}

    def least_s(self, user: int, stages: Stage, rates_bit_per_s: tuple[float, float]) -> float:
        """Latency of a user who is alone in its batches [s]."""
        down, up = rates_bit_per_s
        cut, times = cut_of(stages), self._times(user, stages, up)
        down_bit = self.sent_bit(user, stages, up=False)
        left_s = (self._offer.scenario.steps - cut) * times.device_step_s + times.hand_over_s + times.after_s
        return times.before_s + cut * self.law.at(1) + left_s + (down_bit / down if down_bit else 0.0)

    @cached_property
    def law(self) -> BatchLaw:
        """Seconds of a step of several chains, as the edge was timed; raises ProfileError where it has no such law."""
        return self._offer.batch_law()

    def columns(self, *, waived: bool = False) -> NDArray[np.int64]:
        """The option of each user by the steps that the edge makes, (K, N + 1); NONE where that is closed.

        Of all precisions a user takes that with the fewest bits, which leaves every other cut as good.
        """
        return self._columns(self._offer.open_options(waived=waived))

    def _columns(self, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        users, steps = len(self._offer.scenario.users), self._offer.scenario.steps
        found = np.full((users, steps + 1), NONE, dtype=np.int64)
        for k in range(users):
            by_precision: dict[str, dict[int, int]] = {}
            for o, cut in self._cuts(k, allowed):
                if cut == 0:
                    found[k, 0] = o
                else:
                    by_precision.setdefault(self._offer.options[o].precision, {})[cut] = o
            if by_precision:
                of = min(by_precision.values(), key=lambda cuts: self._bits(k, cuts[max(cuts)]))
                whole = self._bits(k, of[max(of)])
                for cut, o in of.items():  # the other lengths are closed by name, but not where wishes are waived
                    if self._bits(k, o) == whole:
                        found[k, cut] = o
        return found

    def _cuts(self, k: int, allowed: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        """Open options of a user with the steps that the edge makes."""
        for o in np.flatnonzero(allowed[k]).tolist():
            yield o, cut_of(self._offer.program(k, o))

    def _bits(self, k: int, o: int) -> float:
        return self.sent_bit(k, self._offer.program(k, o), up=False)

    def problem(self, allowed: NDArray[np.bool_], *, waived: bool = False) -> BatchedEdgeProblem:
        """The problem of the options that are allowed, (K, O); `waived` as for `uplink_hz`."""
        scenario, columns = self._offer.scenario, self._columns(allowed)
        up = self.rates(1, self.uplink_hz(waived=waived))
        users = columns.shape[0]
        names = ("downlink_bit", "device_step_s", "after_s", "local_after_s", "hand_over_s")
        tables: dict[str, Any] = {name: np.zeros(users) for name in names}
        start_s = 0.0
        for k, row in enumerate(columns):
            served = [int(o) for o in row[1:] if o != NONE]
            for o in served:
                times = self._times(k, self._offer.program(k, o), float(up[k]), waived=waived)
                start_s = max(start_s, times.before_s)
                tables["after_s"][k] = tables["local_after_s"][k] = times.after_s
                tables["device_step_s"][k] = max(tables["device_step_s"][k], times.device_step_s)
                tables["hand_over_s"][k] = max(tables["hand_over_s"][k], times.hand_over_s)
            if served:
                tables["downlink_bit"][k] = self._bits(k, served[0])
            if row[0] != NONE:
                times = self._times(k, self._offer.program(k, int(row[0])), float(up[k]), waived=waived)
                tables["local_after_s"][k], tables["device_step_s"][k] = times.after_s, times.device_step_s
                if (row[1:-1] != NONE).any():  # no device begins its steps sooner for being served
                    own_s = times.after_s - tables["after_s"][k] - tables["hand_over_s"][k]
                    start_s = max(start_s, own_s * (1 + EXACT))
                elif not served:
                    tables["after_s"][k] = times.after_s
        tables["downlink_snr_hz" if scenario.channel.law == "shannon" else "downlink_efficiency"] = self.laws[0]
        return BatchedEdgeProblem(
            **tables, steps=scenario.steps, step_slope_s=self.law.slope_s, step_base_s=self.law.base_s,
            downlink_hz=scenario.sites[0].downlink_hz, weight=scenario.weights, cut_allowed=columns != NONE,
            edge_start_s=start_s, objective=scenario.objective,
        )  # fmt: skip

    def encoding_share(self, *, waived: bool = False) -> float:
        """The part of the edge that each user has who may send, until the batches begin [1]."""
        return 1.0 / max(self.senders[waived], 1)

    def notes(self) -> tuple[str, ...]:
        """How the edge and the uplink are divided, and by which law batches are planned."""
        found = f"The edge makes steps of several chains in one pass, in the batches planned: {self.law.words}."
        if self.division:
            start_s = self.problem(self._offer.open_options()).start_s
            found += (
                f" {self.division}, and an equal part of the edge for its encoding; the batches start after "
                f"{show(start_s, 's')}, {self._holds_back(start_s)}, whoever sends in the end and whatever they take: "
                "what is proven is meant given that."
            )
        return (found + self.dated,)

    def _holds_back(self, start_s: float) -> str:
        """What the start of the batches waits for, and whose it is."""
        up = self.rates(1, self.uplink_hz())
        before = [
            (self._times(k, self._offer.program(k, int(o)), float(up[k])).before_s, k, int(o))
            for k, row in enumerate(self.columns())
            for o in row[1:]
            if o != NONE
        ]
        last_s, k, o = max(before, key=lambda one: one[0])
        if last_s < start_s:
            return "when every device that may be served could have begun its own steps"
        stages = list(leaves(self._offer.program(k, o)))[: batched_step(self._offer.program(k, o))]
        works = any(isinstance(leaf, Compute) and not is_edge(leaf.at) for leaf in stages)
        device = ", after its device's own work for that" if works else ""
        who = self._offer.scenario.users[k].name
        return f"when the last request, that of {who} with {self._offer.options[o].name}, is there and encoded{device}"

    def _times(self, k: int, stages: Stage, uplink_bit_per_s: float, *, waived: bool = False) -> _Times:
        """Times of a program; steps at the edge and downloads apart."""
        propagation_s = self._offer.scenario.channel.propagation_s
        begin = batched_step(stages)
        before_s = step_s = hand_over_s = after_s = 0.0
        for n, leaf in enumerate(leaves(stages)):
            if n == begin:
                continue
            if isinstance(leaf, Compute) and leaf.denoises:
                step_s = self._offer.seconds(leaf) / leaf.amount
                continue
            own_s = propagation_s
            if isinstance(leaf, Compute):
                own_s = self._offer.seconds(leaf) / (self.encoding_share(waived=waived) if is_edge(leaf.at) else 1.0)
            elif isinstance(leaf, Send) and not is_edge(leaf.source):
                own_s += self._offer.send_bit(leaf, k) / uplink_bit_per_s
            if begin is not None and n < begin:
                before_s += own_s
            elif begin is not None and isinstance(leaf, Compute) and leaf.kind is Kind.ENCODE_PROMPT:
                hand_over_s += own_s
            else:
                after_s += own_s
        return _Times(before_s, step_s, hand_over_s, after_s)
