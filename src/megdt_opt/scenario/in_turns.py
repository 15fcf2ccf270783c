"""A scenario whose edge serves whole chains one after another: its options, and its `SequencedEdgeProblem`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.program.stages import Stage
from megdt_opt.program.turns import TurnTerms, check_turn, turn_terms
from megdt_opt.scenario.undivided import Undivided


class InTurns(Undivided):
    """The edge of an offer, which serves chains in turns; a `serving.Serving`."""

    named = "turns"

    def require(self, stages: Stage) -> None:
        """Refuse programs without one turn; raises NotRepresentable."""
        check_turn(stages)

    def least_s(self, user: int, stages: Stage, rates_bit_per_s: tuple[float, float]) -> float:
        """Latency of a user whose turn comes when it is ready [s]."""
        down, up = rates_bit_per_s
        terms = self._terms(user, stages, up)
        download_s = terms.downlink_bit / down if terms.downlink_bit else 0.0
        return terms.release_s + terms.edge_work_s + terms.after_s + download_s

    def problem(self, allowed: NDArray[np.bool_], *, waived: bool = False) -> SequencedEdgeProblem:
        """The problem of the options that are allowed, (K, O); `waived` as for `uplink_hz`."""
        scenario = self._offer.scenario
        up = self.rates(1, self.uplink_hz(waived=waived))
        names = ("release_s", "edge_work_s", "after_s", "downlink_bit")
        tables: dict[str, Any] = {name: np.zeros(allowed.shape) for name in names}
        for k, o in np.argwhere(allowed).tolist():
            terms = self._terms(k, self._offer.program(k, o), float(up[k]))
            for name in names:
                tables[name][k, o] = getattr(terms, name)
        law = "downlink_snr_hz" if scenario.channel.law == "shannon" else "downlink_efficiency"
        tables[law] = self.laws[0]
        return SequencedEdgeProblem(
            **tables, downlink_hz=scenario.sites[0].downlink_hz, allowed=allowed, weight=scenario.weights,
            objective=scenario.objective,
        )  # fmt: skip

    def notes(self) -> tuple[str, ...]:
        """How the edge and the uplink are divided."""
        found = "The edge serves one chain at a time, whole and at full speed, in the order planned."
        if self.division:
            found += f" {self.division}: what is proven is meant given that."
        return (found + self.dated,)

    def _terms(self, k: int, stages: Stage, uplink_bit_per_s: float) -> TurnTerms:
        return turn_terms(
            stages, compute_s=self._offer.seconds, send_bit=lambda leaf: self._offer.send_bit(leaf, k),
            uplink_bit_per_s=uplink_bit_per_s, propagation_s=self._offer.scenario.channel.propagation_s,
        )  # fmt: skip
