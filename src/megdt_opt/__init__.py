"""Where a diffusion model's work runs at the mobile edge: proven allocations, executed and verified.

Nothing heavy is loaded by this import: names are resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from megdt_opt.version import __version__ as __version__

if TYPE_CHECKING:
    from megdt_opt import bounds
    from megdt_opt.calibration import calibrate
    from megdt_opt.errors import (
        Conflict,
        ExecutionError,
        Infeasible,
        InvalidInput,
        MegdtError,
        NotRepresentable,
        ProfileError,
        SolverFailure,
        WeightsError,
    )
    from megdt_opt.execution import Execution
    from megdt_opt.models.registry import register_model
    from megdt_opt.planning.plan import Plan
    from megdt_opt.planning.planner import plan
    from megdt_opt.planning.questions import explain, regret, replan, shadow_prices
    from megdt_opt.problem.allocation_problem import AllocationProblem, Evaluation, evaluate
    from megdt_opt.problem.batch_problem import BatchProblem
    from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
    from megdt_opt.problem.fairness import AlphaFairProblem, LexicographicProblem
    from megdt_opt.problem.generation_split import GenerationSplit, GenerationSplitProblem
    from megdt_opt.problem.placement_problem import PlacementProblem
    from megdt_opt.problem.program_problem import ProgramProblem
    from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
    from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
    from megdt_opt.program.kinds import register_stage
    from megdt_opt.program.mechanisms import register_mechanism
    from megdt_opt.program.precisions import register_precision
    from megdt_opt.program.registry import load_plugin
    from megdt_opt.scenario.scenario import Scenario
    from megdt_opt.solving import solve
    from megdt_opt.solving.allocation import Allocation
    from megdt_opt.solving.batch.allocation import BatchAllocation
    from megdt_opt.solving.batch.door import solve_batch
    from megdt_opt.solving.batched_edge import BatchedEdge
    from megdt_opt.solving.batched_quality import BatchedQuality
    from megdt_opt.solving.placement import Placement
    from megdt_opt.solving.program import Program
    from megdt_opt.solving.shared_prefix import SharedPrefix
    from megdt_opt.solving.turns.answer import SequencedEdge
    from megdt_opt.sweeping import merge_sweep, sweep, sweep_into, sweep_users
    from megdt_opt.timing.profile import TimingProfile
    from megdt_opt.trials.execute import execute
    from megdt_opt.whatif.pareto import ParetoFront, ParetoPoint, pareto_front
    from megdt_opt.whatif.regret import Regret
    from megdt_opt.whatif.replan import Replan
    from megdt_opt.whatif.shadow import ShadowPrice, ShadowPrices
    from megdt_opt.whatif.why import Change, Explanation

_HOME = {
    "Allocation": "solving.allocation",
    "AllocationProblem": "problem.allocation_problem",
    "AlphaFairProblem": "problem.fairness",
    "BatchAllocation": "solving.batch.allocation",
    "BatchProblem": "problem.batch_problem",
    "BatchedEdge": "solving.batched_edge",
    "BatchedEdgeProblem": "problem.batched_edge_problem",
    "BatchedQuality": "solving.batched_quality",
    "Change": "whatif.why",
    "Conflict": "errors",
    "Evaluation": "problem.allocation_problem",
    "Execution": "execution",
    "ExecutionError": "errors",
    "Explanation": "whatif.why",
    "GenerationSplit": "problem.generation_split",
    "GenerationSplitProblem": "problem.generation_split",
    "Infeasible": "errors",
    "InvalidInput": "errors",
    "LexicographicProblem": "problem.fairness",
    "MegdtError": "errors",
    "NotRepresentable": "errors",
    "ParetoFront": "whatif.pareto",
    "ParetoPoint": "whatif.pareto",
    "Placement": "solving.placement",
    "PlacementProblem": "problem.placement_problem",
    "Plan": "planning.plan",
    "ProfileError": "errors",
    "Program": "solving.program",
    "ProgramProblem": "problem.program_problem",
    "Regret": "whatif.regret",
    "Replan": "whatif.replan",
    "Scenario": "scenario.scenario",
    "SequencedEdge": "solving.turns.answer",
    "SequencedEdgeProblem": "problem.sequenced_edge_problem",
    "ShadowPrice": "whatif.shadow",
    "ShadowPrices": "whatif.shadow",
    "SharedPrefix": "solving.shared_prefix",
    "SharedPrefixProblem": "problem.shared_prefix_problem",
    "SolverFailure": "errors",
    "TimingProfile": "timing.profile",
    "WeightsError": "errors",
    "calibrate": "calibration",
    "evaluate": "problem.allocation_problem",
    "execute": "trials.execute",
    "explain": "planning.questions",
    "import_timings": "timing.importer",
    "load_plugin": "program.registry",
    "merge_sweep": "sweeping",
    "pareto_front": "whatif.pareto",
    "plan": "planning.planner",
    "register_mechanism": "program.mechanisms",
    "register_model": "models.registry",
    "register_precision": "program.precisions",
    "register_stage": "program.kinds",
    "regret": "planning.questions",
    "replan": "planning.questions",
    "shadow_prices": "planning.questions",
    "solve": "solving",
    "solve_batch": "solving.batch.door",
    "sweep": "sweeping",
    "sweep_into": "sweeping",
    "sweep_users": "sweeping",
}

__all__ = [
    "Allocation",
    "AllocationProblem",
    "AlphaFairProblem",
    "BatchAllocation",
    "BatchProblem",
    "BatchedEdge",
    "BatchedEdgeProblem",
    "BatchedQuality",
    "Change",
    "Conflict",
    "Evaluation",
    "Execution",
    "ExecutionError",
    "Explanation",
    "GenerationSplit",
    "GenerationSplitProblem",
    "Infeasible",
    "InvalidInput",
    "LexicographicProblem",
    "MegdtError",
    "NotRepresentable",
    "ParetoFront",
    "ParetoPoint",
    "Placement",
    "PlacementProblem",
    "Plan",
    "ProfileError",
    "Program",
    "ProgramProblem",
    "Regret",
    "Replan",
    "Scenario",
    "SequencedEdge",
    "SequencedEdgeProblem",
    "ShadowPrice",
    "ShadowPrices",
    "SharedPrefix",
    "SharedPrefixProblem",
    "SolverFailure",
    "TimingProfile",
    "WeightsError",
    "bounds",
    "calibrate",
    "evaluate",
    "execute",
    "explain",
    "import_timings",
    "load_plugin",
    "merge_sweep",
    "pareto_front",
    "plan",
    "register_mechanism",
    "register_model",
    "register_precision",
    "register_stage",
    "regret",
    "replan",
    "shadow_prices",
    "solve",
    "solve_batch",
    "sweep",
    "sweep_into",
    "sweep_users",
]


def __getattr__(name: str) -> Any:
    if name == "bounds":
        return importlib.import_module("megdt_opt.bounds")
    if name in _HOME:
        value = getattr(importlib.import_module(f"megdt_opt.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'megdt_opt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "bounds"})
