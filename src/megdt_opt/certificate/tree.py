"""Branch trees of certificates: their parts, and what partitions they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import RESOURCES

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Leaf:
    """End of the tree.

    Parameters
    ----------
    prices : tuple of float
        Of the scaled downlink, uplink and edge budgets, with several servers of each server's downlink, then uplink,
        then edge [s for "sum" and "mixed", 1 for "max" and "missed"]; for "mixed" followed by the multipliers nu of
        the K users [1].
    counts : tuple of float
        Multipliers of the limits on counts above the leaf, in their order from the root; at least 0 [as the prices].
    """

    prices: tuple[float, ...]
    counts: tuple[float, ...] = ()


@dataclass
class Branch:
    """Split of one user's options.

    Parameters
    ----------
    user : int
    groups : tuple of tuple of int
        Options of each child; together the options that the user has here.
    children : list of node
    """

    user: int
    groups: tuple[tuple[int, ...], ...]
    children: list[Node] = field(default_factory=list)


@dataclass
class Count:
    """Split by how many of some users take one of some options: at most `most` of them, or more.

    Parameters
    ----------
    users, options : tuple of int
    most : int
    children : list of node
        The two.
    """

    users: tuple[int, ...]
    options: tuple[int, ...]
    most: int
    children: list[Node] = field(default_factory=list)


@dataclass
class Prune:
    """Options that prices alone rule out, whatever the other users take.

    Parameters
    ----------
    leaf : Leaf
        The prices.
    removed : array of int, (N, 2)
        User and option of each.
    children : list of node
        The one in which they are gone.
    """

    leaf: Leaf
    removed: NDArray[np.int64]
    children: list[Node] = field(default_factory=list)


Node = Leaf | Branch | Count | Prune


class Row(NamedTuple):
    """A limit on a count: of the `users`, `limit` at most (`sign` 1) or at least (-1) take one of the `options`."""

    users: NDArray[np.int64]
    options: NDArray[np.int64]
    limit: int
    sign: int


class Part(NamedTuple):
    """What is to be proven somewhere in a tree.

    `mask` (K, O) are the options that the users have there, `rows` the limits on counts. Where `removed` (K, O) is
    given, it is about the allocations in which some user takes one of these options.
    """

    leaf: Leaf
    mask: Mask
    rows: tuple[Row, ...]
    removed: Mask | None = None

    def extra(self) -> NDArray[np.float64] | None:
        """What the multipliers of the counts add to the costs, (K, O); None where there are none."""
        if not self.rows:
            return None
        table = np.zeros(self.mask.shape)
        for row, multiplier in zip(self.rows, self.leaf.counts, strict=True):
            table[np.ix_(row.users, row.options)] += row.sign * multiplier
        return table

    def offset(self) -> float:
        """What they take off the sum of the costs."""
        return sum(row.sign * row.limit * m for row, m in zip(self.rows, self.leaf.counts, strict=True))


def parts(tree: Node, mask: Mask) -> Iterator[Part]:
    """What a tree has to prove, for users with the options (K, O) of a mask; depth first.

    Raises
    ------
    ValueError
        Where the groups of a branch do not partition the user's options, a node names what is not there, or a leaf
        has another number of multipliers than there are limits on counts above it.
    """
    stack: list[tuple[Node, Mask, tuple[Row, ...]]] = [(tree, mask, ())]
    while stack:
        node, here, rows = stack.pop()
        if isinstance(node, Leaf):
            yield Part(_fitting(node, rows), here, rows)
        elif isinstance(node, Branch):
            stack.extend((child, below, rows) for child, below in _branched(node, here))
        elif isinstance(node, Count):
            stack.extend((child, here, (*rows, row)) for child, row in _counted(node, here))
        elif isinstance(node, Prune):
            removed = _removed(node, here)
            yield Part(_fitting(node.leaf, rows), here, rows, removed)
            below = here & ~removed
            if below.any(axis=1).all():
                stack.append((node.children[0], below, rows))
        else:
            raise ValueError("a node is neither a leaf nor one of the three kinds of splits")


def _fitting(leaf: Leaf, rows: tuple[Row, ...]) -> Leaf:
    if len(leaf.counts) != len(rows):
        raise ValueError(f"a leaf has {len(leaf.counts)} multipliers for {len(rows)} limits on counts")
    return leaf


def _branched(node: Branch, here: Mask) -> Iterator[tuple[Node, Mask]]:
    if not 0 <= node.user < here.shape[0] or len(node.groups) != len(node.children):
        raise ValueError("a branch names a user that is not there, or lacks a child")
    listed = [o for group in node.groups for o in group]
    # groups may name closed options too; what counts is that each open one is in exactly one group
    if len(listed) != len(set(listed)) or not set(np.flatnonzero(here[node.user]).tolist()) <= set(listed):
        raise ValueError(f"the groups of user {node.user} do not partition its options")
    for group, child in zip(node.groups, node.children, strict=True):
        part = np.zeros(here.shape[1], bool)
        part[list(group)] = True
        below = here.copy()
        below[node.user] &= part
        if below[node.user].any():
            yield child, below


def _counted(node: Count, here: Mask) -> Iterator[tuple[Node, Row]]:
    """The two sides; a user or an option named twice would be counted twice."""
    users, options = np.array(node.users, dtype=np.int64), np.array(node.options, dtype=np.int64)
    for index, size in ((users, here.shape[0]), (options, here.shape[1])):
        if len(node.children) != 2 or len(set(index.tolist())) != index.size or index.size == 0:
            raise ValueError("a limit on a count names something twice or nothing, or lacks a child")
        if index.min() < 0 or index.max() >= size:
            raise ValueError("a limit on a count names a user or an option that is not there")
    if node.most < 0:
        raise ValueError("a limit on a count is below 0")
    yield node.children[0], Row(users, options, node.most, 1)
    yield node.children[1], Row(users, options, node.most + 1, -1)


def _removed(node: Prune, here: Mask) -> Mask:
    if len(node.children) != 1 or not node.removed.size:
        raise ValueError("nothing is ruled out, or nothing follows")
    if node.removed.min() < 0 or (node.removed.max(axis=0) >= here.shape).any():
        raise ValueError("an option is ruled out that is not there")
    removed = np.zeros(here.shape, bool)
    removed[node.removed[:, 0], node.removed[:, 1]] = True
    result: Mask = removed & here
    return result


def prices_in(tree: Node, most: int) -> list[tuple[float, ...]]:
    """Prices of the first leaves, and of those that rule options out before them."""
    found: list[tuple[float, ...]] = []
    stack = [tree]
    while stack and len(found) < most:
        node = stack.pop()
        if isinstance(node, Leaf | Prune):
            found.append((node if isinstance(node, Leaf) else node.leaf).prices)
        if not isinstance(node, Leaf):
            stack.extend(reversed(node.children))
    return found


def flat(tree: Node, budgets: int = 3) -> list[dict[str, Any]]:
    """Nodes in preorder as plain data; a branch is followed by its children, however deep the tree is."""
    nodes: list[dict[str, Any]] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, Leaf):
            nodes.append(_leaf_data(node, budgets))
            continue
        if isinstance(node, Branch):
            nodes.append({"user": node.user, "groups": [list(group) for group in node.groups]})
        elif isinstance(node, Count):
            nodes.append({"users": list(node.users), "options": list(node.options), "at_most": node.most})
        else:
            removed: dict[int, list[int]] = {}
            for user, option in node.removed.tolist():
                removed.setdefault(user, []).append(option)
            listed = [[user, options] for user, options in removed.items()]
            nodes.append({**_leaf_data(node.leaf, budgets), "removed": listed})
        stack.extend(reversed(node.children))
    return nodes


def _leaf_data(leaf: Leaf, budgets: int) -> dict[str, Any]:
    """With one server a price for each resource, with several a list of them."""
    each = budgets // 3
    lists = [list(leaf.prices[i * each : (i + 1) * each]) for i in range(3)]
    data: dict[str, Any] = {"prices": dict(zip(RESOURCES, (p[0] if each == 1 else p for p in lists), strict=True))}
    if len(leaf.prices) > budgets:
        data["multipliers"] = list(leaf.prices[budgets:])
    if leaf.counts:
        data["counts"] = list(leaf.counts)
    return data


def _leaf_of(data: dict[str, Any], listed: bool) -> tuple[Leaf, int]:
    """The leaf, and how many budgets it prices."""
    given, budgets = data["prices"], 3
    prices: tuple[float, ...]
    if listed:
        uplink, edge, downlink, *rest = (float(p) for p in given)
        prices = (downlink, uplink, edge, *rest)
    else:
        if set(given) != set(RESOURCES):
            raise ValueError(f"prices of {', '.join(RESOURCES)}")
        lists = [given[name] if isinstance(given[name], list) else [given[name]] for name in RESOURCES]
        budgets = 3 * len(lists[0])
        if not budgets or any(3 * len(one) != budgets for one in lists):
            raise ValueError("as many prices for each resource")
        prices = tuple(float(p) for p in (*lists[0], *lists[1], *lists[2], *data.get("multipliers", ())))
    counts = tuple(float(m) for m in data.get("counts", ()))
    if not all(np.isfinite(p) and p >= 0 for p in (*prices, *counts)):
        raise ValueError("prices")
    return Leaf(prices, counts), budgets


def _node_of(data: dict[str, Any], listed: bool) -> tuple[Node, int, int | None]:
    """A node, how many children follow it, and how many budgets its leaf prices, if it has one."""
    if "prices" in data:
        leaf, budgets = _leaf_of(data, listed)
        if "removed" not in data:
            return leaf, 0, budgets
        removed = [(int(user), int(o)) for user, options in data["removed"] for o in options]
        return Prune(leaf, np.array(removed, dtype=np.int64).reshape(-1, 2)), 1, budgets
    if "at_most" in data:
        users, options = (tuple(int(i) for i in data[name]) for name in ("users", "options"))
        return Count(users, options, int(data["at_most"])), 2, None
    groups = tuple(tuple(int(o) for o in group) for group in data["groups"])
    if not groups:
        raise ValueError("a branch without groups")
    return Branch(int(data["user"]), groups), len(groups), None


def whole(nodes: list[dict[str, Any]], *, listed: bool = False) -> tuple[Node, int]:
    """Tree of nodes in preorder, and how many budgets its leaves price.

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
    waiting: list[tuple[list[Node], int]] = []
    top: Node | None = None
    priced: set[int] = set()
    for data in nodes:
        node, children, budgets = _node_of(data, listed)
        if budgets is not None:
            priced.add(budgets)
        if top is None:
            top = node
        elif not waiting:
            raise ValueError("a node too many")
        else:
            siblings, wanted = waiting[-1]
            siblings.append(node)
            if len(siblings) == wanted:
                waiting.pop()
        if not isinstance(node, Leaf):
            waiting.append((node.children, children))
    if top is None or waiting:
        raise ValueError("a node too few")
    if len(priced) != 1:
        raise ValueError("leaves that price different numbers of budgets")
    return top, priced.pop()
