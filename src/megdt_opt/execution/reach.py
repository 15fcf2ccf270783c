"""What the loss of an actor or of a stage takes with it: which users still get their picture, and who works for them.

The failure domain of a user is read from the stage program: the leaves that its last ones still wait for, and the
actors that these need. What has ended, and is known to whoever goes on after it, needs nobody any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from megdt_opt.execution.graph import Node, last_leaves
from megdt_opt.program.stages import Send

Failure = tuple[int, str]
"""A leaf that failed, and the receiver for whom it did; "" for all."""


@dataclass
class Known:
    """What is known of the progress of one program.

    Parameters
    ----------
    ended : mapping of str to set of int
        Leaves that have ended, as far as each actor knows.
    stamped : set of int
        Leaves of which the stamps are there.
    failed : set of (int, str)
        Leaves that cannot end, with the receiver whom that concerns.
    """

    ended: dict[str, frozenset[int]] = field(default_factory=dict)
    stamped: set[int] = field(default_factory=set)
    failed: set[Failure] = field(default_factory=set)


class Reach:
    """What can still end.

    Parameters
    ----------
    nodes : sequence of Node
        The leaves of a program.
    chain : sequence of str
        Chain of each leaf.
    known : Known
        What is known of its progress.
    lost : mapping or set of str
        Actors that are gone.

    Examples
    --------
    A device that waits for a picture of the edge is lost with it, unless the picture has arrived:

    >>> from megdt_opt.execution.graph import graph
    >>> from megdt_opt.program.stages import EDGE, Compute, Kind, Payload, Send, Series
    >>> nodes = graph(Series((Compute(at=EDGE, kind=Kind.DECODE), Send(source=EDGE, to=("u",), payload=Payload.IMAGE))))
    >>> Reach(nodes, ("u", "u"), Known(), {"edge"}).cause("u")
    'edge'
    >>> Reach(nodes, ("u", "u"), Known(stamped={0, 1}), {"edge"}).cause("u") is None
    True
    """

    def __init__(
        self, nodes: Sequence[Node], chain: Sequence[str], known: Known, lost: Mapping[str, object] | set[str]
    ) -> None:
        self._nodes = nodes
        self._chain = chain
        self._known = known
        self._lost = lost
        self._causes: dict[int, str | Failure | None] = {}

    def cause(self, name: str) -> str | Failure | None:
        """Why a user gets no picture: an actor that is gone or a leaf that failed; None where it does."""
        causes = (self._last(index) for index in sorted(last_leaves(self._nodes, self._chain, name)))
        return next((cause for cause in causes if cause is not None), None)

    def finished(self, name: str) -> bool:
        """Whether a user's last stages have ended."""
        return last_leaves(self._nodes, self._chain, name) <= self._known.stamped

    def needed(self, users: Sequence[str]) -> set[int]:
        """Leaves that have not ended and that these users wait for."""
        found: set[int] = set()

        def visit(index: int) -> None:
            if index in found or index in self._known.stamped:
                return
            found.add(index)
            node = self._nodes[index]
            for before in node.before - self._ended(node.actor):
                visit(before)

        for name in users:
            for index in last_leaves(self._nodes, self._chain, name):
                visit(index)
        return found

    def _ended(self, actor: str) -> frozenset[int]:
        return self._known.ended.get(actor, frozenset())

    def _last(self, index: int) -> str | Failure | None:
        """Why a last leaf does not end, or its result is gone."""
        leaf = self._nodes[index].leaf
        holder = leaf.to[0] if isinstance(leaf, Send) else leaf.at
        if holder in self._lost:
            return holder
        return None if index in self._known.stamped else self._cause(index)

    def _cause(self, index: int) -> str | Failure | None:
        """Why a leaf does not end."""
        if index not in self._causes:
            self._causes[index] = self._find(self._nodes[index])
        return self._causes[index]

    def _find(self, node: Node) -> str | Failure | None:
        if node.actor in self._lost:
            return node.actor
        if node.index in self._ended(node.actor):
            return None
        for before in sorted(node.before - self._ended(node.actor)):
            cause = self._cause(before) or self._undelivered(before, node.actor)
            if cause is not None:
                return cause
        if (node.index, "") in self._known.failed:
            receivers = node.leaf.to if isinstance(node.leaf, Send) else ()
            return next((receiver for receiver in receivers if receiver in self._lost), (node.index, ""))
        if isinstance(node.leaf, Send):
            causes = [r if r in self._lost else self._undelivered(node.index, r) for r in node.leaf.to]
            return None if None in causes else causes[0]
        return None

    def _undelivered(self, index: int, receiver: str) -> Failure | None:
        key = (index, receiver)
        return key if key in self._known.failed else None
