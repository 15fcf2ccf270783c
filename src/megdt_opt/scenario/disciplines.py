"""How an edge server divides its time among users, and what a scenario may state beside it.

"reserved" shares are what the rest of the package is about. Another discipline has a class of problems of its own:
`check_disciplines` refuses what that class does not know. What closes options under it, and the arrays of its problem,
come from a `Serving` (`scenario/serving.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from megdt_opt.errors import InvalidInput
from megdt_opt.program.turns import TURN_MECHANISMS
from megdt_opt.scenario.equipment import Edge

RESERVED, IN_TURNS, BATCHED = "reserved", "in_turns", "batched"

MECHANISMS_OF: Mapping[str, tuple[str, ...]] = {RESERVED: (), IN_TURNS: TURN_MECHANISMS, BATCHED: ()}
"""Mechanisms that a discipline offers beside those of reserved shares."""

_OBJECTIVES: Mapping[str, tuple[str, ...]] = {IN_TURNS: ("max", "sum"), BATCHED: ("max", "sum")}
"""Objectives of the problems of a discipline."""


def check_disciplines(
    edges: Sequence[Edge],
    alone: bool,
    objective: str,
    stated: Mapping[str, object],
    wishes: Mapping[str, Sequence[str]],
) -> None:
    """Refuse what the class of problems of an edge's discipline does not have.

    Parameters
    ----------
    edges : sequence of Edge
        Edge servers of the scenario.
    alone : bool
        Whether the scenario states one as `edge`, and no list of `edges`.
    objective : str
    stated : mapping of str to object
        Other fields of the scenario that only reserved shares know, None where they are not stated.
    wishes : mapping of str to sequence of str
        Mechanisms that the users name, by the users' names.

    Raises
    ------
    InvalidInput
        Names the field, the value, what fits and what to do.
    """
    for number, edge in enumerate(edges):
        if edge.discipline != RESERVED:
            where = "edge" if alone else f"edges.{number}"
            _check(where, edge, len(edges), objective, stated)
    own = MECHANISMS_OF[edges[0].discipline]
    for other, offered in MECHANISMS_OF.items():
        for user, names in wishes.items():
            for name in (name for name in offered if name in names and name not in own):
                expected = f"a mechanism that an edge with the discipline {edges[0].discipline!r} offers"
                remedy = f'Choose another one, or state "discipline: {other}" for the edge.'
                raise InvalidInput(f"users.{user}.mechanisms", name, expected, remedy)


def _check(where: str, edge: Edge, edges: int, objective: str, stated: Mapping[str, object]) -> None:
    """Refuse what an edge in turns or in batches does not go with."""
    discipline, only = edge.discipline, 'Choose "reserved", or '
    beside = f"where the edge's discipline is {discipline!r}"
    if edges > 1:
        expected = f"'reserved' where there are several edge servers, here {edges}"
        raise InvalidInput(f"{where}.discipline", discipline, expected, f"{only}state one edge.")
    if edge.servers != 1:
        expected = f"1 server {beside}, which serves one chain or one batch at a time"
        raise InvalidInput(f"{where}.servers", edge.servers, expected, f"{only}leave servers out.")
    if objective not in _OBJECTIVES[discipline]:
        expected = f"one of {_OBJECTIVES[discipline]} {beside}"
        raise InvalidInput("objective", objective, expected, f"{only}choose one of these objectives.")
    for name, value in stated.items():
        if value is not None:
            expected = f"nothing {beside}, for no plan with {name} is proven then"
            raise InvalidInput(name, "given", expected, f"{only}leave out {name}.")
