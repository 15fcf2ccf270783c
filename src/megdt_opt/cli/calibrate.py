"""Calibration by a model's name, with a progress bar; the spec of a model that planning does not know yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from megdt_opt.cli.terminal import console_of
from megdt_opt.errors import InvalidInput
from megdt_opt.files import write_text
from megdt_opt.models.needed_memory import memory_needed
from megdt_opt.models.registry import load_model

if TYPE_CHECKING:
    from megdt_opt.timing.profile import TimingProfile


def pixels_of(text: str | None) -> int | tuple[int, int] | None:
    """Size of a picture as the command line has it: "512", or "ROWSxCOLUMNS"; raises InvalidInput for anything else."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 0 < int(side) <= 2**20 for side in sides):
        raise InvalidInput("size", text, "a side, or ROWSxCOLUMNS [pixel]", "Write for example 512 or 768x512.")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def calibrate_model(  # wide: each is one option of the command, by keyword
    name: str,
    *,
    device: str = "cpu",
    batches: tuple[int, ...] = (1, 2, 4),
    samples: int = 20,
    sessions: int = 1,
    pause_s: float = 0.0,
    wait_s: float = 0.0,
    threads: int = 1,
    precision: str = "fp32",
    spec_file: Path | None = None,
    console: Console | None = None,
    **settings: Any,
) -> TimingProfile:
    """Load a model, say what it takes, time all its stages and write its spec; parameters as for `calibrate`.

    `settings` are those of `load_model`: guidance, pixels, weights, variant, decoder, controlnet.
    """
    from megdt_opt.cli.progress import progress

    console = console or console_of()
    variant = settings.get("variant")
    said = memory_needed(name, precision, **({} if variant is None else {"variant": variant}))
    if said:
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    model = load_model(name, device=device, precision=precision, **settings)
    spec = model.spec
    if spec.guidance_by == "passes":
        how = "two passes in a step; --guidance 1 has one" if spec.passes_per_step == 2 else "one pass in a step"
        console.print(f"Guidance {spec.guidance:g}: {how}.", markup=False, highlight=False)
    if spec_file is not None:
        write_text(spec_file, json.dumps(spec.to_dict(), indent=1) + "\n")
    from megdt_opt.calibration import calibrate
    from megdt_opt.timing.trust import doubts

    with progress(console, "timing the stages") as update:
        profile = calibrate(
            model,
            device=device,
            batches=batches,
            held_out_batches=(),
            samples=samples,
            sessions=sessions,
            pause_s=pause_s,
            wait_s=wait_s,
            threads=threads,
            precision=precision,
            on_progress=update,
        )
    if sessions == 1:
        console.print(
            "One session: the intervals do not say what a later session varies by; --sessions 5 --pause 60 does.",
            markup=False,
        )
    for doubt in doubts(profile):
        console.print(f"Warning: {doubt}. Calibrate again when the machine is idle.", style="yellow", markup=False)
    return profile
