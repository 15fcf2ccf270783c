"""Calibration by a model's name, with a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from megdt_opt.errors import MegdtError

if TYPE_CHECKING:
    from megdt_opt.timing.profile import TimingProfile


def load_model(name: str, *, device: str = "cpu", precision: str = "fp32") -> Any:
    """The model of this name: "twin", a published architecture, a pipeline folder or a hub id.

    Raises
    ------
    MegdtError
        Where the packages of the extra `diffusion` are missing, or the model cannot be loaded.
    """
    try:
        if name == "twin":
            from megdt_opt.models.twin.model import TwinModel

            return TwinModel.load()
        from megdt_opt.models.diffusers.model import ARCHITECTURES, DiffusersModel
    except ImportError as error:
        raise MegdtError(
            f"calibration needs the package {error.name}: install it with pip install 'megdt-opt[diffusion]'"
        ) from error
    if name in ARCHITECTURES:
        return DiffusersModel.from_config(name, device=device, precision=precision)
    return DiffusersModel.from_pretrained(name, device=device, precision=precision)


def calibrate_model(
    name: str,
    *,
    device: str = "cpu",
    batches: tuple[int, ...] = (1, 2, 4),
    samples: int = 20,
    threads: int = 1,
    precision: str = "fp32",
    console: Console | None = None,
) -> TimingProfile:
    """Load a model and time all its stages; parameters as for `calibrate`."""
    from megdt_opt.cli.progress import progress

    model = load_model(name, device=device, precision=precision)
    from megdt_opt.calibration import calibrate

    with progress(console or Console(), "timing the stages") as update:
        return calibrate(
            model,
            device=device,
            batches=batches,
            held_out_batches=(),
            samples=samples,
            threads=threads,
            precision=precision,
            on_progress=update,
        )
