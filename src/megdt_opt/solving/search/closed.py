"""What a closed search returns."""

from __future__ import annotations

from dataclasses import dataclass

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.pricing.scaled import Array
from megdt_opt.problem.allocation_problem import Evaluation
from megdt_opt.solving.search.incumbent import Incumbent


@dataclass
class Closed:
    """What the search proved.

    Parameters
    ----------
    incumbent : Incumbent
        The best allocation.
    bound : float
        Certified lower bound of the objective [s].
    certificate : Certificate
    nodes, passes : int
        Nodes of the tree and price vectors tried [1].
    shares : array, (3, K), optional
        The allocation's shares of downlink, uplink and edge [Hz, Hz, 1], where they have been evaluated.
    evaluation : Evaluation, optional
        What they yield.
    """

    incumbent: Incumbent
    bound: float
    certificate: Certificate
    nodes: int
    passes: int
    shares: Array | None = None
    evaluation: Evaluation | None = None
