"""Proofs of lower bounds: branch trees whose leaves carry prices, verified without any solver.

A tree splits the options of one user after another into groups; its leaves partition the allowed option sets. Each
leaf has prices l >= 0 of the scaled budgets. By weak duality

    "sum": sum_k min_o c_ko(l) - sum_i l_i <= every objective in the leaf,
    "max": sum_k min_o c_ko(l, D) > sum_i l_i  =>  no allocation in the leaf has an objective of D or less,
    "mixed": as "sum" with the weights (1 + nu_k) w_k, multipliers nu >= 0 with sum nu <= max_weight in each leaf,
    "missed": sum_k min(w_k, min_o c_ko(l)) - sum_i l_i <= every weight of late users in the leaf,

Limited costs have prices p >= 0 of their own: c_ko + p . e_ko with the loads e of `megdt_opt.problem.cost_limits` in
place of c_ko, and sum l + sum p in place of sum l. Weighted costs are part of c; with them "max" is proven as "mixed"
is, without the sum: with the weights nu_k w_k, sum nu <= 1 ("max and costs").

Where a "mixed" tree is split by the largest weighted latency, which then is within [T, U], a leaf's costs are those
with each weighted latency limited by U, at least those without multipliers plus nu_k T; and (max_weight - sum nu) T
beside them.

The costs c are those of `megdt_opt.pricing.priced`. The certificate's bound is the least of the leaves'. `verify`
checks that the groups partition the options (for "missed" being late is one choice more, with the number O; what the
leaves prove is rounded up to a sum of weights), and recomputes every cost: in rational arithmetic with square roots and
logarithms bracketed outward up to K * O = 10,000, in floats with outward margins above.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from megdt_opt.certificate.tree import Mask, Node, flat, whole
from megdt_opt.certificate.verdict import EXACT_SIZE, Verdict
from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_json, write_text
from megdt_opt.values import real

if TYPE_CHECKING:
    from megdt_opt.certificate.check import Proof, Valuer

FORMAT = "megdt-opt certificate 3"
FORMAT_2 = "megdt-opt certificate 2"
"""Had the prices of a leaf as a list in the order uplink, edge, downlink; still read."""

_FIELDS = {
    "format": f"{FORMAT!r} or {FORMAT_2!r}",
    "objective": "the name of an objective, as text",
    "bound_s": "a finite number [s]",
    "nodes": "the nodes of the tree, in preorder",
}
"""What a saved certificate consists of."""


def _refused(field: str, found: object, expected: str) -> InvalidInput:
    return InvalidInput(field, found, expected, "Save it again with `Certificate.save`.")


@dataclass(frozen=True)
class Certificate:
    """Proof that no allocation of a problem is better than `bound_s`.

    Parameters
    ----------
    objective : str
        "max", "sum", "mixed" or "missed".
    bound_s : float
        The bound [s] (for "missed" a sum of weights [1]).
    source : Branch or Leaf, or callable
        The tree, or what makes it when it is asked for: writing a large tree down takes longer than finding it.
    budgets : int
        Budgets that the leaves price: downlink, uplink and edge, of one server after another for each, and then the
        limits on costs [1].
    costs : int
        How many of them, the last ones, are limits on costs [1].
    """

    objective: str
    bound_s: float
    source: Node | Callable[[], Node]
    budgets: int = 3
    costs: int = 0

    @cached_property
    def tree(self) -> Node:
        """The branch tree."""
        return self.source() if callable(self.source) else self.source

    def __reduce__(self) -> tuple[type[Certificate], tuple[str, float, Node, int, int]]:
        # pickled with its tree, whatever makes it
        return type(self), (self.objective, self.bound_s, self.tree, self.budgets, self.costs)

    @classmethod
    def seal(cls, proof: Proof, tree: Node, mask: Mask, target_s: float, valuer: Valuer) -> Certificate:
        """Recompute the bound that a tree proves, as `verify` does, with a margin for rounding.

        Parameters
        ----------
        proof : Proof
            What it is about.
        tree : Node
        mask : array of bool, (rows, choices)
            What the tree partitions.
        target_s : float
            At which it was grown [s]; for "max" no more is looked for.
        valuer : Valuer
            What recomputes the bounds of the leaves.
        """
        from megdt_opt.certificate.check import sealed_bound_s

        bound_s = sealed_bound_s(proof, tree, mask, target_s, valuer)
        return cls(proof.objective, bound_s, tree, proof.budgets, proof.cost_prices)

    def verify(self, problem: Any, *, exact: bool | None = None) -> Verdict:
        """Check the partition and recompute every leaf's bound.

        Parameters
        ----------
        problem : AllocationProblem
            The problem that the certificate is about.
        exact : bool, optional
            Rational arithmetic; default up to K * O = 10,000.
        """
        from megdt_opt.certificate.check import check
        from megdt_opt.certificate.proofs import proof_of

        proof = proof_of(problem)
        use = proof.size <= EXACT_SIZE if exact is None else exact
        own = (self.objective, self.budgets, self.costs)
        words = isinstance(self.objective, str) and isinstance(self.budgets, int) and isinstance(self.costs, int)
        if not words or own != (proof.objective, proof.budgets, proof.cost_prices):
            return Verdict(False, -np.inf, use, 0, "the certificate is about another objective or other budgets")
        return check(self.tree, self.bound_s, proof, exact=use)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {
            "format": FORMAT,
            "objective": self.objective,
            "bound_s": self.bound_s,
            "nodes": flat(self.tree, self.budgets, self.costs),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Certificate:
        """Build from plain data.

        Raises
        ------
        InvalidInput
            Where it is not a certificate.
        """
        if not isinstance(data, dict):
            raise _refused("certificate", type(data).__name__, f"a mapping of {', '.join(_FIELDS)}")
        for name in data:
            if name not in _FIELDS:
                raise _refused(f"certificate.{name}", "an unknown field", f"no field but {', '.join(_FIELDS)}")
        for name, expected in _FIELDS.items():
            if name not in data:
                raise _refused(f"certificate.{name}", None, expected)
        kind, objective, bound = data["format"], data["objective"], real(data["bound_s"])
        if kind not in (FORMAT, FORMAT_2):
            raise _refused("certificate.format", kind, _FIELDS["format"])
        if not isinstance(objective, str):
            raise _refused("certificate.objective", objective, _FIELDS["objective"])
        if bound is None or not np.isfinite(bound):
            raise _refused("certificate.bound_s", data["bound_s"], _FIELDS["bound_s"])
        try:
            tree, budgets, costs = whole(data["nodes"], listed=kind == FORMAT_2)
        except InvalidInput as error:
            raise error.within("certificate") from None
        return cls(objective, bound, tree, budgets, costs)

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(path, json.dumps(self.to_dict()))

    @classmethod
    def load(cls, path: str | Path) -> Certificate:
        """Read from JSON; raises InvalidInput where the file is missing, truncated or no certificate."""
        data = read_json(path, "certificate file")
        try:
            return cls.from_dict(data)
        except InvalidInput as error:
            raise error.within(str(path)) from None
