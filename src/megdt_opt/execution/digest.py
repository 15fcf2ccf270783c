"""What tells whether the program that an actor executed is the one that was planned."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from megdt_opt.execution.job import Run
from megdt_opt.execution.plain import program_to_plain
from megdt_opt.program.model_spec import ModelSpec

DIGITS = 9
"""Significant digits of the numbers that a digest reads: a plan that is worked out anew from its file keeps them."""


INTERFACE = ("latent_shape", "image_shape", "conditioning", "request", "passes_per_step")
"""Fields of a spec on which two processes that execute one model must agree."""


def program_digest(run: Run) -> str:
    """Digest of all that decides what a run's actors do: stages, chains, seeds, rates, shares, slots, sampler, turn.

    Predictions are not among it: they are what a run is compared with.

    Examples
    --------
    >>> from megdt_opt.execution import Chain, Pace, Run, StageTime
    >>> from megdt_opt.program.stages import Compute, Kind
    >>> def run(step_s):
    ...     stage, one = Compute(at="u", kind=Kind.DECODE), Chain(name="u", device="u", request={}, seed=0)
    ...     planned = (StageTime(start_s=0.0, duration_s=step_s),)
    ...     return Run.of_user(one, stage, Pace(), scheduler="", steps=1, predicted=planned, slot_s=(step_s,))
    >>> program_digest(run(0.1)) == program_digest(run(0.1)), program_digest(run(0.1)) == program_digest(run(0.2))
    (True, False)
    """
    stated = {
        "program": program_to_plain(run.program),
        "chains": [[chain.name, chain.device, chain.seed, chain.goes_on_from] for chain in run.chains],
        "chain": list(run.chain),
        "pace": list(run.pace),
        "scheduler": run.scheduler,
        "steps": run.steps,
        "propagation_s": run.propagation_s,
        "slot_s": list(run.slot_s),
        "turn": run.turn,
    }
    text = json.dumps(_rounded(stated), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def model_digest(spec: ModelSpec) -> str:
    """Digest of what two processes must agree on to execute one model: its name and the shapes of what it takes and
    makes; where its files lie differs from host to host.

    Examples
    --------
    >>> from megdt_opt.models.specs import bundled_spec
    >>> len(model_digest(bundled_spec()))
    64
    """
    data = spec.to_dict()
    stated = {"name": spec.name} | {name: data[name] for name in INTERFACE if name in data}
    return hashlib.sha256(json.dumps(_rounded(stated), sort_keys=True).encode("utf-8")).hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
