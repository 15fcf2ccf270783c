"""Which classes of problems have certificates, and how theirs are recomputed."""

from __future__ import annotations

import importlib
from typing import Any

from megdt_opt.certificate.allocation import AllocationProof
from megdt_opt.certificate.check import Proof
from megdt_opt.errors import InvalidInput
from megdt_opt.problem.allocation_problem import AllocationProblem

_PROOFS: dict[str, str] = {
    "BatchedEdgeProblem": "megdt_opt.certificate.batched_edge",
    "PlacementProblem": "megdt_opt.certificate.placement",
    "ProgramProblem": "megdt_opt.certificate.program",
    "SequencedEdgeProblem": "megdt_opt.certificate.turns",
    "SharedPrefixProblem": "megdt_opt.certificate.grouping",
}
"""Classes of problems beside AllocationProblem: the module in which `proof` makes theirs."""


def proof_of(problem: Any) -> Proof:
    """How certificates of a problem are recomputed."""
    require_class(problem)
    if isinstance(problem, AllocationProblem):
        if problem.samples is not None:
            from megdt_opt.certificate.samples import SampleProof

            return SampleProof(problem)
        if problem.uncertain:
            from megdt_opt.certificate.deviations import DeviationProof

            return DeviationProof(problem)
        return AllocationProof(problem.certain)
    made: Proof = importlib.import_module(_PROOFS[type(problem).__name__]).proof(problem)
    return made


def require_class(problem: Any) -> None:
    """Refuse what is no problem that answers and certificates are about."""
    name = type(problem).__name__
    if not isinstance(problem, AllocationProblem) and name not in _PROOFS:
        known = ("AllocationProblem", *_PROOFS)
        raise InvalidInput("problem", name, f"one of {known}", "Give the problem that was solved.")
