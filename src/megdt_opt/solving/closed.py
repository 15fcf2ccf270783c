"""What a closed search returns."""

from __future__ import annotations

from dataclasses import dataclass

from megdt_opt.certificate import Certificate
from megdt_opt.solving.incumbent import Incumbent


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
    """

    incumbent: Incumbent
    bound: float
    certificate: Certificate
    nodes: int
    passes: int
