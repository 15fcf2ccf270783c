"""What an answer says of itself: how it ended, which route found it, and what stands behind its bound."""

from __future__ import annotations

from megdt_opt.text_enum import TextEnum


class Status(TextEnum):
    """How a solution ended."""

    OPTIMAL = "optimal"
    """The asked gap is proven, without a solver's word."""
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    """No search came to an answer that keeps the limits, nor to a proof that there is none."""


class BoundSource(TextEnum):
    """What stands behind a lower bound."""

    CERTIFICATE = "certificate"
    """A branch tree with prices, which `Certificate.verify` checks."""
    LEAVES = "leaves"
    """Leaves that were proven but not written down, as in a batch."""
    ENUMERATION = "enumeration"
    """Every option set was tried, each down to its own bound."""
    CLOSED_FORM = "closed form"
    SOLVER = "solver"
    """Only the backend vouches for it, within its own tolerances."""
    NONE = "none"

    @property
    def proves(self) -> bool:
        """Whether such a bound is a proof."""
        return self not in (BoundSource.SOLVER, BoundSource.NONE)


class Method(TextEnum):
    """Routes: what `solve` takes, and what `Allocation.method` says; a formulation has the name of its file."""

    AUTO = "auto"
    PRICES = "prices"
    ENUMERATE = "enumerate"
    BATCH = "batch"
    """What `solve_batch` returns; not for `solve`."""
    GREEDY = "greedy"
    """Groups by merging, where they are to be formed."""
    CLOSED_FORM = "closed form"
    """What "auto" takes where a class of problem has one."""
    ALPHA_FAIR = "alpha_fair"
    BATCHED_EDGE = "batched_edge"
    CONVEX_ALLOCATION = "convex_allocation"
    DEADLINE_MILP = "deadline_milp"
    EDGE_PLACEMENT = "edge_placement"
    ENERGY_DELAY = "energy_delay"
    LEXICOGRAPHIC = "lexicographic"
    OPTION_GDP = "option_gdp"
    OPTION_GDP_BIGM = "option_gdp_bigm"
    OPTION_GDP_OUTER = "option_gdp_outer"
    OPTION_MISOCP = "option_misocp"
    OPTION_MISOCP_PERSPECTIVE = "option_misocp_perspective"
    SEQUENCED_EDGE = "sequenced_edge"
    SHARED_PREFIX = "shared_prefix"
    SQUARE_ROOT_MILP = "square_root_milp"
    TASK_PROGRAM = "task_program"


def status_of(gap: float, asked: float, source: BoundSource) -> Status:
    """The status "optimal" where a proof closes the asked gap [1], else "feasible"."""
    return Status.OPTIMAL if source.proves and gap <= asked + 1e-12 else Status.FEASIBLE
