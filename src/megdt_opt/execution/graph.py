"""The leaves of a stage program with what each must wait for, and who holds a chain's result at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from megdt_opt.program.kinds import own_stage
from megdt_opt.program.stages import Compute, Kind, Parallel, Send, Series, Stage


@dataclass(frozen=True)
class Node:
    """One leaf of a program.

    Parameters
    ----------
    index : int
        Position among `megdt_opt.program.stages.leaves`.
    leaf : Compute or Send
        The stage.
    before : frozenset of int
        Leaves that must have ended.
    """

    index: int
    leaf: Compute | Send
    before: frozenset[int]

    @property
    def actor(self) -> str:
        """Who executes the leaf: the sender of a send."""
        return self.leaf.at if isinstance(self.leaf, Compute) else self.leaf.source

    @property
    def label(self) -> str:
        """Short text for reports."""
        return self.leaf.label


def graph(program: Stage) -> tuple[Node, ...]:
    """Leaves in program order, each with its predecessors.

    A stage of a series waits for the last leaves of the one before it; the branches of a parallel
    wait for the same leaves and not for each other.
    """
    nodes: list[Node] = []

    def visit(stage: Stage, before: frozenset[int]) -> frozenset[int]:
        match stage:
            case Series(stages):
                for inner in stages:
                    before = visit(inner, before)
                return before
            case Parallel(branches):
                ends = [visit(branch, before) for branch in branches]
                return frozenset().union(*ends) if ends else before
            case Compute() | Send():
                nodes.append(Node(len(nodes), stage, before))
                return frozenset({len(nodes) - 1})

    visit(program, frozenset())
    return tuple(nodes)


def last_leaves(nodes: Sequence[Node], chain: Sequence[str], name: str) -> frozenset[int]:
    """Leaves of a chain, given the chain of each leaf, that no other of the chain waits for."""
    own = [node for node in nodes if chain[node.index] == name]
    return frozenset(node.index for node in own) - frozenset().union(*(node.before for node in own))


def regions(stages: Iterable[Compute | Send]) -> dict[str, tuple[int, int]]:
    """Rows [begin, end) of each item that is denoised by region."""
    return {
        leaf.item: leaf.rows for leaf in stages if isinstance(leaf, Compute) and leaf.denoises and leaf.rows is not None
    }


def entry_of(stages: Iterable[Compute | Send]) -> int:
    """Step at which a chain is entered from a sensed picture [1]; 0 from noise."""
    computed = [leaf for leaf in stages if isinstance(leaf, Compute)]
    if not any(leaf.kind is Kind.SENSE for leaf in computed):
        return 0
    return min((leaf.first for leaf in computed if leaf.denoises), default=0)


def image_holder(stages: Iterable[Compute | Send]) -> str | None:
    """Actor with the pixels of the picture at the end, or None."""
    holder: str | None = None
    for leaf in stages:
        if isinstance(leaf, Compute):
            own = own_stage(leaf.kind)
            if leaf.kind in (Kind.DECODE, Kind.DECOMPRESS) or (own is not None and "image" in own.makes):
                holder = leaf.at
        elif leaf.precision == "raw" and any(t.name.startswith("image.") for t in leaf.tensors):
            holder = leaf.to[0]
    return holder


def latent_holder(stages: Iterable[Compute | Send]) -> str | None:
    """Actor that ends the denoising (or the fusion) of the whole latent, or None."""
    holder: str | None = None
    for leaf in stages:
        if isinstance(leaf, Compute) and (leaf.kind is Kind.FUSE or (leaf.denoises and leaf.item == "state")):
            holder = leaf.at
    return holder
