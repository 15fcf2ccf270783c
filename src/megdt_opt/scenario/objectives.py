"""Which objectives a scenario may state, and with which figures."""

from __future__ import annotations

from megdt_opt.errors import InvalidInput


def check_provable(objective: object) -> None:
    """Refuse objectives of which no bound is proven."""
    if objective == "alpha_fair":
        expected = "one of 'max', 'sum', 'mixed', 'missed' and 'mean_cvar': of a plan for any other no bound is proven"
        raise InvalidInput("", objective, expected, 'For fairness and tails take "mixed", "max" or "mean_cvar".')


def check_objective(
    objective: str, max_weight: float | None, cvar: tuple[float | None, float | None], deadlines: bool, edges: int
) -> None:
    """Refuse figures that the objective does not know, and missing ones that it needs.

    Parameters
    ----------
    objective : str
    max_weight : float, optional
    cvar : tuple of float, optional
        Level and weight of the conditional value at risk.
    deadlines : bool
        Whether some user has one.
    edges : int
        Edge servers [1].
    """
    if (objective == "mixed") != (max_weight is not None):
        expected = 'a number above 0 with the objective "mixed", and none with others'
        raise InvalidInput("max_weight", max_weight, expected, "State both or neither.")
    for name, value in zip(("cvar_level", "cvar_weight"), cvar, strict=True):
        if (objective == "mean_cvar") != (value is not None):
            expected = 'a number with the objective "mean_cvar", and none with others'
            raise InvalidInput(name, value, expected, "State objective, cvar_level and cvar_weight, or none of them.")
    if objective == "missed" and not deadlines:
        expected = 'another objective, or a deadline of some user: "missed" counts who is later'
        raise InvalidInput("objective", objective, expected, "Give users a deadline.")
    if edges > 1 and objective not in ("max", "sum"):
        expected = "'max' or 'sum' where there are several edge servers"
        raise InvalidInput("objective", objective, expected, "Choose one of them, or state one edge.")
