"""Branch trees of certificates: their parts, and what partitions they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Leaf:
    """End of the tree.

    Parameters
    ----------
    prices : tuple of float
        Of the scaled uplink, edge and downlink budgets [s for "sum" and "mixed", 1 for "max" and "missed"]; for
        "mixed" followed by the multipliers nu of the K users [1].
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


Node = Branch | Leaf


def masks(tree: Node, mask: NDArray[np.bool_]) -> Iterator[tuple[Leaf, NDArray[np.bool_]]]:
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


def flat(tree: Node) -> list[dict[str, Any]]:
    """Nodes in preorder as plain data; a branch is followed by its children, however deep the tree is."""
    nodes: list[dict[str, Any]] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, Leaf):
            nodes.append({"prices": list(node.prices)})
        else:
            nodes.append({"user": node.user, "groups": [list(group) for group in node.groups]})
            stack.extend(reversed(node.children))
    return nodes


def whole(nodes: list[dict[str, Any]]) -> Node:
    """Tree of nodes in preorder.

    Raises
    ------
    ValueError, KeyError, TypeError
        Where they make no tree.
    """
    waiting: list[Branch] = []
    top: Node | None = None
    for data in nodes:
        node: Node
        if "prices" in data:
            prices = tuple(float(p) for p in data["prices"])
            if len(prices) < 3 or not all(np.isfinite(p) and p >= 0 for p in prices):
                raise ValueError("prices")
            node = Leaf(prices)
        else:
            groups = tuple(tuple(int(o) for o in group) for group in data["groups"])
            if not groups:
                raise ValueError("a branch without groups")
            node = Branch(int(data["user"]), groups)
        if top is None:
            top = node
        elif not waiting:
            raise ValueError("a node too many")
        else:
            parent = waiting[-1]
            parent.children.append(node)
            if len(parent.children) == len(parent.groups):
                waiting.pop()
        if isinstance(node, Branch):
            waiting.append(node)
    if top is None or waiting:
        raise ValueError("a node too few")
    return top
