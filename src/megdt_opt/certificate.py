"""Proofs of lower bounds: branch trees whose leaves carry prices, verified without any solver.

A tree splits the options of one user after another into groups; its leaves partition the allowed option sets. Each
leaf has prices l >= 0 of the scaled budgets. By weak duality

    "sum": sum_k min_o c_ko(l) - sum_i l_i <= every objective in the leaf,
    "max": sum_k min_o c_ko(l, D) > sum_i l_i  =>  no allocation in the leaf has an objective of D or less,

with the priced costs c of `megdt_opt.solving.priced`. The certificate's bound is the least of the leaves'. `verify`
checks that the groups partition the options, and recomputes every cost: in rational arithmetic with square roots and
logarithms bracketed outward up to K * O = 10,000, in floats with outward margins above.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.atomic import write_text
from megdt_opt.errors import InvalidInput

if TYPE_CHECKING:
    from megdt_opt.problem import AllocationProblem
    from megdt_opt.solving.resources import Resources

FORMAT = "megdt-opt certificate 1"
EXACT_SIZE = 10_000
"""K * O up to which `verify` is exact."""


@dataclass(frozen=True)
class Leaf:
    """End of the tree.

    Parameters
    ----------
    prices : tuple of float
        Of the scaled uplink, edge and downlink budgets [s for "sum", 1 for "max"].
    """

    prices: tuple[float, ...]


@dataclass
class Branch:
    """Split of one user's options.

    Parameters
    ----------
    user : int
    groups : tuple of tuple of int
        Options of each child; together the options that the user has here.
    children : list of Branch or Leaf
    """

    user: int
    groups: tuple[tuple[int, ...], ...]
    children: list[Branch | Leaf] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """Outcome of a verification.

    Parameters
    ----------
    holds : bool
        Whether the bound is proven.
    bound_s : float
        The bound that the leaves prove [s]; at least the certificate's where it holds.
    exact : bool
        Whether the arithmetic was rational.
    leaves : int
        Leaves checked.
    reason : str
        What failed.
    """

    holds: bool
    bound_s: float
    exact: bool
    leaves: int
    reason: str = ""


@dataclass(frozen=True)
class Certificate:
    """Proof that no allocation of a problem is better than `bound_s`.

    Parameters
    ----------
    objective : str
        "max" or "sum".
    bound_s : float
        The bound [s].
    tree : Branch or Leaf
    """

    objective: str
    bound_s: float
    tree: Branch | Leaf

    @classmethod
    def seal(
        cls, problem: AllocationProblem, resources: Resources, tree: Branch | Leaf, target_s: float
    ) -> Certificate:
        """Work out the bound that a tree proves, at most `target_s` for "max", with a margin for rounding."""
        from megdt_opt.certificate_check import provable_bound_s

        return cls(problem.objective, provable_bound_s(problem, resources, tree, target_s), tree)

    def verify(self, problem: AllocationProblem, *, exact: bool | None = None) -> Verdict:
        """Check the partition and recompute every leaf's bound.

        Parameters
        ----------
        problem : AllocationProblem
            The problem that the certificate is about.
        exact : bool, optional
            Rational arithmetic; default up to K * O = 10,000.
        """
        from megdt_opt.certificate_check import check

        use = problem.users * problem.options <= EXACT_SIZE if exact is None else exact
        return check(self, problem, exact=use)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {
            "format": FORMAT,
            "objective": self.objective,
            "bound_s": self.bound_s,
            "tree": _plain(self.tree),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Certificate:
        """Build from plain data.

        Raises
        ------
        InvalidInput
            Where it is not a certificate.
        """
        try:
            if data["format"] != FORMAT:
                raise ValueError("format")
            bound = float(data["bound_s"])
            if not np.isfinite(bound):
                raise ValueError("bound_s")
            return cls(str(data["objective"]), bound, _tree(data["tree"]))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InvalidInput("certificate", "its contents", f"the format {FORMAT!r}", f"Mend: {error}.") from None

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(Path(path), json.dumps(self.to_dict()))

    @classmethod
    def load(cls, path: str | Path) -> Certificate:
        """Read from JSON; raises InvalidInput where the file is missing, truncated or no certificate."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InvalidInput("certificate file", str(path), "a whole JSON file", f"{error}.") from None
        return cls.from_dict(data)


def masks(tree: Branch | Leaf, mask: NDArray[np.bool_]) -> Iterator[tuple[Leaf, NDArray[np.bool_]]]:
    """Leaves with the options that each user has there, (K, O); depth first.

    Raises
    ------
    ValueError
        Where the groups of a branch do not partition the user's options.
    """
    stack = [(tree, mask)]
    while stack:
        node, here = stack.pop()
        if isinstance(node, Leaf):
            yield node, here
            continue
        if not 0 <= node.user < here.shape[0] or len(node.groups) != len(node.children):
            raise ValueError("a branch names a user that is not there, or lacks a child")
        listed = [o for group in node.groups for o in group]
        # groups may name closed options too; what counts is that each open one is in exactly one group
        if len(listed) != len(set(listed)) or not set(np.flatnonzero(here[node.user])) <= set(listed):
            raise ValueError(f"the groups of user {node.user} do not partition its options")
        for group, child in zip(node.groups, node.children, strict=True):
            part = np.zeros(here.shape[1], bool)
            part[list(group)] = True
            below = here.copy()
            below[node.user] &= part
            if below[node.user].any():
                stack.append((child, below))


def _plain(tree: Branch | Leaf) -> Any:
    if isinstance(tree, Leaf):
        return {"prices": list(tree.prices)}
    return {
        "user": tree.user,
        "groups": [list(g) for g in tree.groups],
        "children": [_plain(c) for c in tree.children],
    }


def _tree(data: Any) -> Branch | Leaf:
    if "prices" in data:
        prices = tuple(float(p) for p in data["prices"])
        if len(prices) != 3 or not all(np.isfinite(p) and p >= 0 for p in prices):
            raise ValueError("prices")
        return Leaf(prices)
    groups = tuple(tuple(int(o) for o in g) for g in data["groups"])
    return Branch(int(data["user"]), groups, [_tree(c) for c in data["children"]])
