"""Branch trees of certificates: their parts, and what partitions they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import RESOURCES


@dataclass(frozen=True)
class Leaf:
    """End of the tree.

    Parameters
    ----------
    prices : tuple of float
        Of the scaled downlink, uplink and edge budgets [s for "sum" and "mixed", 1 for "max" and "missed"]; for
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
            nodes.append(_leaf_data(node))
        else:
            nodes.append({"user": node.user, "groups": [list(group) for group in node.groups]})
            stack.extend(reversed(node.children))
    return nodes


def _leaf_data(leaf: Leaf) -> dict[str, Any]:
    data: dict[str, Any] = {"prices": dict(zip(RESOURCES, leaf.prices[:3], strict=True))}
    if len(leaf.prices) > 3:
        data["multipliers"] = list(leaf.prices[3:])
    return data


def _leaf_of(data: dict[str, Any], listed: bool) -> Leaf:
    given = data["prices"]
    if listed:
        uplink, edge, downlink, *rest = (float(p) for p in given)
        prices = (downlink, uplink, edge, *rest)
    else:
        if set(given) != set(RESOURCES):
            raise ValueError(f"prices of {', '.join(RESOURCES)}")
        prices = (*(float(given[name]) for name in RESOURCES), *(float(p) for p in data.get("multipliers", ())))
    if not all(np.isfinite(p) and p >= 0 for p in prices):
        raise ValueError("prices")
    return Leaf(prices)


def whole(nodes: list[dict[str, Any]], *, listed: bool = False) -> Node:
    """Tree of nodes in preorder.

    Parameters
    ----------
    nodes : list of dict
    listed : bool
        Whether prices are lists in the order uplink, edge, downlink (format 2), rather than named.

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
            node = _leaf_of(data, listed)
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
