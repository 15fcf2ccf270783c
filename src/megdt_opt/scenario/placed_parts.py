"""Parts of the model that edges hold where their memories do not hold all of them, as arrays of a placement problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.program.costs import Costs, resident_parts
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Stage
from megdt_opt.scenario.edges import Site

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PlacedParts:
    """What options need at their edges, and what the edges can hold.

    Parameters
    ----------
    names : tuple of str
        Parts of the model in the precision of an edge, M of them.
    needs : array of bool, (K, O, M)
    size_byte : array, (M,)
    memory_byte : array, (E,)
        Of an edge without a stated memory what all parts take together [byte].
    """

    names: tuple[str, ...]
    needs: Mask
    size_byte: NDArray[np.float64]
    memory_byte: NDArray[np.float64]

    def onto(self, problem: PlacementProblem) -> PlacementProblem:
        """The problem in which the parts are placed; options that no memory holds are closed."""
        large = self.size_byte > self.memory_byte.max()
        kept = ~large & (self.needs & problem.allowed_mask[:, :, None]).any(axis=(0, 1))
        return replace(
            problem, allowed=problem.allowed_mask & ~self.needs[:, :, large].any(axis=2),
            option_model=self.needs[:, :, kept], model_byte=self.size_byte[kept], memory_byte=self.memory_byte,
        )  # fmt: skip


def placed_parts(
    sites: Sequence[Site],
    spec: ModelSpec,
    precisions: Mapping[str, str],
    program: Callable[[int, int], Stage],
    timed: Mask,
    open_: Mask,
    server: Sequence[int | None],
) -> PlacedParts | None:
    """The parts to place; None where every edge holds all that its open options need.

    Parameters
    ----------
    sites : sequence of Site
    spec : ModelSpec
    precisions : mapping of str to str
        In which the edges hold weights, by their names.
    program : callable
        The stages of a user's option.
    timed, open_ : array of bool, (K, O)
        Options that have a program, and those of them that no limit closes.
    server : sequence of int, (O,)
        Edges of the options; None where none takes part.
    """
    if len(sites) == 1 or all(site.edge.memory_byte is None for site in sites):
        return None
    sizes: dict[str, int] = {}
    asked: list[tuple[int, int, list[str]]] = []
    for k, o in np.argwhere(timed).tolist():
        e = server[o]
        if e is not None:
            site = sites[e]
            parts = resident_parts(program(k, o), spec, site.name.__eq__, precisions[site.name])
            names = {f"{part} {precisions[site.name]}".strip(): byte for part, byte in parts.items()}
            sizes |= names
            asked.append((k, o, list(names)))
    order = {name: m for m, name in enumerate(sizes)}
    needs = np.zeros((*timed.shape, len(order)), dtype=bool)
    for k, o, held in asked:
        needs[k, o, [order[name] for name in held]] = True
    size = np.array([float(byte) for byte in sizes.values()])
    memory = np.array([size.sum() if site.edge.memory_byte is None else site.edge.memory_byte for site in sites])
    together = np.zeros((len(sites), len(order)), dtype=bool)
    for e in range(len(sites)):
        here = np.array([found == e for found in server])
        together[e] = (needs & open_[:, :, None])[:, here].any(axis=(0, 1))
    return PlacedParts(tuple(order), needs, size, memory) if (together @ size > memory).any() else None


def require_memories(
    sites: Sequence[Site], costs: Sequence[Sequence[Costs | None]], server: Sequence[int | None]
) -> None:
    """Where there are several edges, the memory of each holds the weights of one option there.

    Raises
    ------
    InvalidInput
        Where it holds none; names the edge.
    """
    for e, site in enumerate(sites if len(sites) > 1 else ()):
        memory_byte, options = site.edge.memory_byte, [o for o, at in enumerate(server) if at == e]
        here = [own.edge_byte for row in costs for own in (row[o] for o in options) if own is not None]
        if memory_byte is not None and here and min(here) > memory_byte:
            expected = f"at least {min(here)} B, the least weights of an option there"
            raise InvalidInput(f"edges.{site.name}.memory", memory_byte, expected, "Raise it, or leave the edge out.")
