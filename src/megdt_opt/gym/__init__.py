"""Scenarios as Gymnasium environments, so that learned policies can be set beside the proven optimum of each step.

Importing this registers "megdt_opt/Demo-v0" (the bundled factory cell) and "megdt_opt/Scenario-v0" (any scenario, by
`gymnasium.make("megdt_opt/Scenario-v0", scenario="cell.yaml")`). It needs the package gymnasium, of the extra `gym`.
"""

from megdt_opt.errors import MegdtError

try:
    from gymnasium.envs.registration import register, registry
except ImportError as error:
    raise MegdtError(
        f"megdt_opt.gym needs the package {error.name}: install it with pip install 'megdt-opt[gym]'"
    ) from error

from megdt_opt.gym.baselines import BASELINES, Score, score
from megdt_opt.gym.environment import AllocationEnv

for _name, _made_by in (("Demo", "demo"), ("Scenario", "AllocationEnv")):
    if f"megdt_opt/{_name}-v0" not in registry:
        register(id=f"megdt_opt/{_name}-v0", entry_point=f"megdt_opt.gym.environment:{_made_by}")

__all__ = ["BASELINES", "AllocationEnv", "Score", "score"]
