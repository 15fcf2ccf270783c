"""Calibration by a model's name, with a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from megdt_opt.cli.terminal import console_of
from megdt_opt.models.registry import load_model

if TYPE_CHECKING:
    from megdt_opt.timing.profile import TimingProfile


def calibrate_model(
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
    console: Console | None = None,
) -> TimingProfile:
    """Load a model and time all its stages; parameters as for `calibrate`."""
    from megdt_opt.cli.progress import progress

    model = load_model(name, device=device, precision=precision)
    from megdt_opt.calibration import calibrate
    from megdt_opt.timing.trust import doubts

    console = console or console_of()
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
