"""What the weights of a pipeline will take, before any of them is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megdt_opt.models.diffusers.architecture import ARCHITECTURES, Architecture
from megdt_opt.models.memory import PRECISION_BYTE, memory_sentence
from megdt_opt.models.registry import is_hub_id, refuse_shared_name


def memory_needed(name: str, precision: str = "fp32", **find: Any) -> str:
    """What the weights of a pipeline, or of a published architecture, will take, from its configurations alone.

    Parameters
    ----------
    name : str
        As for `load_model`.
    precision : str
        "fp32", "fp16" or "bf16".
    **find
        How a hub id is found: "variant".

    Returns
    -------
    str
        A sentence; "" for other models, and where the packages of the extra `diffusion` are missing.
    """
    refuse_shared_name(name)
    published = ARCHITECTURES.get(name)
    if precision not in PRECISION_BYTE or (published is None and not (Path(name).is_dir() or is_hub_id(name))):
        return ""
    try:
        from megdt_opt.models.diffusers.loading import needed_byte
        from megdt_opt.models.diffusers.location import folder_of
    except ImportError:
        return ""
    design = published or Architecture.read(folder_of(name, **find))
    return memory_sentence(design.name, needed_byte(design, precision), precision)
