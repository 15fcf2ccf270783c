"""The price method for classes of problems that give a `Pricing`: first choices, the tree, and its seal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.check import Proof
from megdt_opt.certificate.tree import Leaf, Node
from megdt_opt.errors import SolverFailure
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice
from megdt_opt.solving.engines.parties import PartiesEngine, Pricing
from megdt_opt.solving.search.incumbent import Incumbent
from megdt_opt.solving.search.objectives import Objective
from megdt_opt.solving.search.root import root
from megdt_opt.solving.search.sealing import part_s
from megdt_opt.solving.search.tree import Tree
from megdt_opt.tolerances import LEAST_GAP


@dataclass(frozen=True)
class ClosedParties:
    """What the search found and proved.

    Parameters
    ----------
    objective : float
        As the pricing settled it [s].
    choice : array of int, (R,)
    x : array
        Shares, as the pricing settled them.
    bound : float
        Certified lower bound of the objective, at most the objective [s].
    certificate : Certificate
    nodes, passes : int
        Nodes of the tree and price vectors tried [1].
    """

    objective: float
    choice: Choice
    x: Array
    bound: float
    certificate: Certificate
    nodes: int
    passes: int


def close_parties(
    pricing: Pricing,
    proof: Proof,
    *,
    gap: float,
    time_limit_s: float | None,
    make: Callable[[Any, float], PartiesEngine] = PartiesEngine,
    rescue: Callable[[float], list[Choice]] | None = None,
    carrying: Callable[[Node, float], Node] | None = None,
) -> ClosedParties:
    """Minimise "sum" or "max" over all parties' choices, and prove it.

    Parameters
    ----------
    pricing : Pricing
        One of its first sets keeps the limits, or `rescue` says which choices do.
    proof : Proof
        How certificates of the problem are recomputed.
    gap : float
        Relative gap to prove [1].
    time_limit_s : float, optional
        After this the tree is cut short; its bound then proves a larger gap [s].
    make : callable
        Makes the engine of the pricing and the deadline, where a class has one of its own.
    rescue : callable, optional
        Choices that keep the limits, looked for until `time.monotonic()` is the deadline that it is given; it raises
        where there are none.
    carrying : callable, optional
        Writes into the leaves of a tree, which was grown at a target, what else its proof needs.

    Raises
    ------
    SolverFailure
        Where none of the first sets keeps the limits.
    """
    deadline = np.inf if time_limit_s is None else time.monotonic() + time_limit_s
    # a little less than asked, so that rounding cannot push the reported gap over it
    asked = max(0.95 * gap, LEAST_GAP)
    engine = make(pricing, deadline)
    incumbent = Incumbent(engine, asked, engine.budgets)
    tree = Tree(engine, Objective(pricing.leveled), incumbent, asked, deadline, np.ones(len(engine.heads)))
    incumbent.offer_all(list(engine.first_sets()))
    if rescue is not None and not np.isfinite(incumbent.objective):
        incumbent.offer_all(rescue(deadline))
    if not np.isfinite(incumbent.objective):
        raise SolverFailure("none of the choices to begin with keeps the limits")
    if incumbent.objective <= 0.0:
        # nothing is better than no time at all
        nothing: Node = Leaf((0.0,) * engine.budgets)
        grown = nothing if carrying is None else carrying(nothing, 0.0)
        certificate = Certificate(proof.objective, 0.0, grown, engine.budgets)
    else:
        valuer, mask = engine.valuer(), proof.to_partition(False)
        if np.isfinite(deadline):
            tree.part_s = lambda: part_s(tree, mask, valuer)
        grown = tree.grow(*root(tree))
        grown = grown if carrying is None else carrying(grown, tree.target)
        certificate = Certificate.seal(proof, grown, mask, tree.target, valuer)
    return ClosedParties(
        incumbent.objective, incumbent.choice, incumbent.x, min(certificate.bound_s, incumbent.objective),
        certificate, max(tree.nodes, 1), tree.passes,
    )  # fmt: skip
