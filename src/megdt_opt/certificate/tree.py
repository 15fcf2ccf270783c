"""Branch trees of certificates: their parts, and what partitions they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.pricing.scaled import RESOURCES
from megdt_opt.values import integer, real

Mask = NDArray[np.bool_]


class Cut(NamedTuple):
    """What no partition of users into sets does: of disjoint sets S that hold |S & users| of some users, the sum of
    floor(|S & users| / divisor) is at most floor(|users| / divisor); `multiplier` is its price, at least 0."""

    users: tuple[int, ...]
    divisor: int
    multiplier: float


@dataclass(frozen=True)
class Leaf:
    """End of the tree.

    Parameters
    ----------
    prices : tuple of float
        Of the scaled downlink, uplink and edge budgets, with several servers of each server's downlink, then uplink,
        then edge, and of what the limited costs leave [s for "sum" and "mixed", 1 for "max" and "missed"]; for "mixed"
        followed by the multipliers nu of the K users [1], and where groups are formed by what each user is worth, of
        any sign [as the prices].
    counts : tuple of float
        Multipliers of the limits on counts above the leaf, in their order from the root; at least 0 [as the prices].
    cuts : tuple of Cut
        Where groups are formed, what partitions keep beside.
    """

    prices: tuple[float, ...]
    counts: tuple[float, ...] = ()
    cuts: tuple[Cut, ...] = ()


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


@dataclass
class Cap:
    """Split by the largest weighted latency: at most `cap_s`, or at least.

    Parameters
    ----------
    cap_s : float
        [s]
    children : list of node
        The two.
    """

    cap_s: float
    children: list[Node] = field(default_factory=list)


Node = Leaf | Branch | Count | Prune | Cap


WHOLE = (0.0, np.inf)
"""Any largest latency [s]."""


class Row(NamedTuple):
    """A limit on a count: of the `users`, `limit` at most (`sign` 1) or at least (-1) take one of the `options`."""

    users: NDArray[np.int64]
    options: NDArray[np.int64]
    limit: int
    sign: int


class Part(NamedTuple):
    """What is to be proven somewhere in a tree.

    `mask` (K, O) are the options that the users have there, `rows` the limits on counts. Where `removed` (K, O) is
    given, it is about the allocations in which some user takes one of these options. The largest weighted latency is
    within `span` there [s]; what proves no use of that proves the part all the same.
    """

    leaf: Leaf
    mask: Mask
    rows: tuple[Row, ...]
    removed: Mask | None = None
    span: tuple[float, float] = WHOLE

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
        Where the groups of a branch do not partition the user's options, a node names what is not there, a cap is not
        within those above it, or a leaf has another number of multipliers than there are limits on counts above it.
    """
    stack: list[tuple[Node, Mask, tuple[Row, ...], tuple[float, float]]] = [(tree, mask, (), WHOLE)]
    while stack:
        node, here, rows, span = stack.pop()
        if isinstance(node, Leaf):
            yield Part(_fitting(node, rows), here, rows, None, span)
        elif isinstance(node, Branch):
            stack.extend((child, below, rows, span) for child, below in _branched(node, here))
        elif isinstance(node, Count):
            stack.extend((child, here, (*rows, row), span) for child, row in _counted(node, here))
        elif isinstance(node, Cap):
            stack.extend((child, here, rows, part) for child, part in _capped(node, span))
        elif isinstance(node, Prune):
            removed = _removed(node, here)
            yield Part(_fitting(node.leaf, rows), here, rows, removed, span)
            below = here & ~removed
            if below.any(axis=1).all():
                stack.append((node.children[0], below, rows, span))
        else:
            raise ValueError("a node is neither a leaf nor one of the four kinds of splits")


def _fitting(leaf: Leaf, rows: tuple[Row, ...]) -> Leaf:
    if len(leaf.counts) != len(rows):
        raise ValueError(f"a leaf has {len(leaf.counts)} multipliers for {len(rows)} limits on counts")
    return leaf


def _branched(node: Branch, here: Mask) -> Iterator[tuple[Node, Mask]]:
    if not 0 <= node.user < here.shape[0] or len(node.groups) != len(node.children):
        raise ValueError("a branch names a user that is not there, or lacks a child")
    own = here[node.user]
    left = set(own.nonzero()[0].tolist())
    # groups may name closed options too; what counts is that each open one is in exactly one group
    if sum(map(len, node.groups)) != len(named := set().union(*node.groups)) or not left <= named:
        raise ValueError(f"the groups of user {node.user} do not partition its options")
    for group, child in zip(node.groups, node.children, strict=True):
        named_here = list(group)
        part = own[named_here]
        if not left.isdisjoint(group):
            below = here.copy()
            below[node.user] = False
            below[node.user, named_here] = part
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


def _capped(node: Cap, span: tuple[float, float]) -> Iterator[tuple[Node, tuple[float, float]]]:
    least, most = span
    if len(node.children) != 2 or not least < node.cap_s < most:
        raise ValueError("a cap is not within those above it, or lacks a child")
    yield node.children[0], (least, node.cap_s)
    yield node.children[1], (node.cap_s, most)


def _removed(node: Prune, here: Mask) -> Mask:
    if len(node.children) != 1 or not node.removed.size:
        raise ValueError("nothing is ruled out, or nothing follows")
    removed = np.zeros(here.shape, bool)
    try:
        if node.removed.min() < 0:
            raise IndexError
        removed[node.removed[:, 0], node.removed[:, 1]] = True
    except IndexError:
        raise ValueError("an option is ruled out that is not there") from None
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


def flat(tree: Node, budgets: int = 3, costs: int = 0) -> list[dict[str, Any]]:
    """Nodes in preorder as plain data; a branch is followed by its children, however deep the tree is. The last `costs`
    of the budgets are limits on costs."""
    nodes: list[dict[str, Any]] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, Leaf):
            nodes.append(_leaf_data(node, budgets, costs))
            continue
        if isinstance(node, Branch):
            nodes.append({"user": node.user, "groups": [list(group) for group in node.groups]})
        elif isinstance(node, Count):
            nodes.append({"users": list(node.users), "options": list(node.options), "at_most": node.most})
        elif isinstance(node, Cap):
            nodes.append({"cap_s": node.cap_s})
        else:
            removed: dict[int, list[int]] = {}
            for user, option in node.removed.tolist():
                removed.setdefault(user, []).append(option)
            listed = [[user, options] for user, options in removed.items()]
            nodes.append({**_leaf_data(node.leaf, budgets, costs), "removed": listed})
        stack.extend(reversed(node.children))
    return nodes


def _leaf_data(leaf: Leaf, budgets: int, costs: int) -> dict[str, Any]:
    """With one server a price for each resource, with several a list of them."""
    each = (budgets - costs) // 3
    lists = [list(leaf.prices[i * each : (i + 1) * each]) for i in range(3)]
    data: dict[str, Any] = {"prices": dict(zip(RESOURCES, (p[0] if each == 1 else p for p in lists), strict=True))}
    if costs:
        data["costs"] = list(leaf.prices[budgets - costs : budgets])
    if len(leaf.prices) > budgets:
        data["multipliers"] = list(leaf.prices[budgets:])
    if leaf.counts:
        data["counts"] = list(leaf.counts)
    if leaf.cuts:
        data["cuts"] = [{**cut._asdict(), "users": list(cut.users)} for cut in leaf.cuts]
    return data


def _refused(place: str, found: object, expected: str) -> InvalidInput:
    return InvalidInput(place, found, expected, "Save the certificate again with `Certificate.save`.")


def _numbers(place: str, value: object, least: float = 0.0) -> tuple[float, ...]:
    found = [real(one) for one in value] if isinstance(value, list | tuple) else [None]
    good = tuple(one for one in found if one is not None and least <= one < np.inf and one > -np.inf)
    if len(good) < len(found):
        raise _refused(place, value, "a list of finite numbers" + " of at least 0" * (least == 0))
    return good


def _indices(place: str, value: object) -> tuple[int, ...]:
    found = [integer(one) for one in value] if isinstance(value, list | tuple) else [None]
    good = tuple(one for one in found if one is not None and 0 <= one < 2**63)
    if len(good) < len(found):
        raise _refused(place, value, "a list of integers of at least 0")
    return good


def _leaf_of(data: dict[str, Any], listed: bool, place: str) -> tuple[Leaf, tuple[int, int]]:
    """The leaf, how many budgets it prices, and how many of them are limits on costs."""
    given, budgets, at = data["prices"], 3, f"{place}.prices"
    prices: tuple[float, ...]
    costs = _numbers(f"{place}.costs", data.get("costs", ()))
    if listed:
        prices = _numbers(at, given)
        if len(prices) < budgets or "multipliers" in data or "costs" in data:
            raise _refused(at, given, "prices of uplink, edge and downlink, and the multipliers behind them")
        uplink, edge, downlink, *rest = prices
        prices = (downlink, uplink, edge, *rest)
    else:
        if not isinstance(given, dict) or set(given) != set(RESOURCES):
            raise _refused(at, given, f"prices of {', '.join(RESOURCES)}")
        lists = [
            _numbers(f"{at}.{name}", given[name] if isinstance(given[name], list) else [given[name]])
            for name in RESOURCES
        ]
        budgets = 3 * len(lists[0])
        if not budgets or any(3 * len(one) != budgets for one in lists):
            raise _refused(at, given, "as many prices for each resource")
        tilts = _numbers(f"{place}.multipliers", data.get("multipliers", ()), -np.inf)
        prices = (*lists[0], *lists[1], *lists[2], *costs, *tilts)
    leaf = Leaf(prices, _numbers(f"{place}.counts", data.get("counts", ())), _cuts_of(data, place))
    return leaf, (budgets + len(costs), len(costs))


def _cuts_of(data: dict[str, Any], place: str) -> tuple[Cut, ...]:
    cuts = data.get("cuts", [])
    if not isinstance(cuts, list) or not all(isinstance(cut, dict) and set(cut) == set(Cut._fields) for cut in cuts):
        raise _refused(f"{place}.cuts", cuts, f"a list of mappings of {', '.join(Cut._fields)}")
    found = []
    for n, cut in enumerate(cuts):
        at = f"{place}.cuts[{n}]"
        (divisor,) = _indices(f"{at}.divisor", [cut["divisor"]])
        (multiplier,) = _numbers(f"{at}.multiplier", [cut["multiplier"]])
        found.append(Cut(_indices(f"{at}.users", cut["users"]), divisor, multiplier))
    return tuple(found)


_FIELDS = {
    "prices": {"prices", "costs", "multipliers", "counts", "cuts", "removed"},
    "at_most": {"at_most", "users", "options"},
    "user": {"user", "groups"},
    "cap_s": {"cap_s"},
}
"""Fields of the kinds of nodes, by the one that tells the kind."""


def _node_of(data: Any, listed: bool, place: str) -> tuple[Node, int, tuple[int, int] | None]:
    """A node, how many children follow it, and how many budgets its leaf prices, with those of costs, if it has one."""
    kind = next((name for name in _FIELDS if isinstance(data, dict) and name in data), None)
    if kind is None:
        raise _refused(place, data, f"a node with one of {', '.join(_FIELDS)}")
    known = _FIELDS[kind]
    for name in data:
        if name not in known:
            raise _refused(f"{place}.{name}", "an unknown field", f"no field but {', '.join(sorted(known))}")
    if kind == "prices":
        leaf, budgets = _leaf_of(data, listed, place)
        return (leaf, 0, budgets) if "removed" not in data else (Prune(leaf, _pairs(place, data)), 1, budgets)
    for name in sorted(known - set(data)):
        raise _refused(f"{place}.{name}", None, f"the field beside {kind}")
    if kind == "at_most":
        (most,) = _indices(f"{place}.at_most", [data["at_most"]])
        users, options = (_indices(f"{place}.{name}", data[name]) for name in ("users", "options"))
        return Count(users, options, most), 2, None
    if kind == "cap_s":
        (cap_s,) = _numbers(f"{place}.cap_s", [data["cap_s"]])
        return Cap(cap_s), 2, None
    if not isinstance(data["groups"], list) or not data["groups"]:
        raise _refused(f"{place}.groups", data["groups"], "a list of groups of options, one at least")
    groups = tuple(_indices(f"{place}.groups", group) for group in data["groups"])
    (user,) = _indices(f"{place}.user", [data["user"]])
    return Branch(user, groups), len(groups), None


def _pairs(place: str, data: dict[str, Any]) -> NDArray[np.int64]:
    """Users and options that are removed, (N, 2)."""
    at, pairs = f"{place}.removed", []
    rows = data["removed"]
    if not isinstance(rows, list) or not all(isinstance(row, list | tuple) and len(row) == 2 for row in rows):
        raise _refused(at, rows, "a list of users, each with a list of its options")
    for user, options in rows:
        pairs += [(*_indices(at, [user]), o) for o in _indices(at, options)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def whole(nodes: Any, *, listed: bool = False) -> tuple[Node, int, int]:
    """Tree of nodes in preorder, how many budgets its leaves price, and how many of these are limits on costs.

    Parameters
    ----------
    nodes : list of dict
    listed : bool
        Whether prices are lists in the order uplink, edge, downlink (format 2), rather than named.

    Raises
    ------
    InvalidInput
        Where they make no tree; names the node and the field.
    """
    if not isinstance(nodes, list):
        raise _refused("nodes", nodes, "a list of nodes, in preorder")
    waiting: list[tuple[list[Node], int]] = []
    top: Node | None = None
    priced: set[tuple[int, int]] = set()
    for i, data in enumerate(nodes):
        node, children, budgets = _node_of(data, listed, f"nodes[{i}]")
        if budgets is not None:
            priced.add(budgets)
        if top is None:
            top = node
        elif not waiting:
            raise _refused(f"nodes[{i}]", "a node", "no more nodes, for the tree is complete")
        else:
            siblings, wanted = waiting[-1]
            siblings.append(node)
            if len(siblings) == wanted:
                waiting.pop()
        if not isinstance(node, Leaf):
            waiting.append((node.children, children))
    if top is None or waiting:
        raise _refused("nodes", f"{len(nodes)} nodes", "more nodes, for the tree is not complete")
    if len(priced) != 1:
        found = sorted(budgets for budgets, _ in priced)
        raise _refused("nodes", f"prices of {found} budgets", "as many budgets and costs in each leaf")
    return top, *priced.pop()
