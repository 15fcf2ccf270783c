"""Measure the CPU profiles that ship with the package.

    python experiments/calibration/measure_cpu.py twin
    python experiments/calibration/measure_cpu.py sd15

What is measured stands in CONFIG. The profile goes to `src/megdt_opt/data/profiles/`, or to --out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.progress import Progress, TimeRemainingColumn

from megdt_opt.calibration import calibrate
from megdt_opt.program.stages import Kind

PROFILES = Path(__file__).parents[2] / "src" / "megdt_opt" / "data" / "profiles"

CONFIG: dict[str, dict[str, Any]] = {
    # one thread, because the executor runs one torch thread in each of its processes
    "twin": {
        "batches": (1, 2, 4, 8),
        "held_out_batches": (3, 6),
        "rows": (2, 6, 8, 10, 14),
        "held_out_rows": (4, 12),
        "samples": 40,
        "warmup": 5,
        "threads": 1,
    },
    # a step takes about 15 s for each chain: only what is needed, and both cores
    "sd15": {
        "kinds": (Kind.ENCODE_PROMPT, Kind.SENSE, Kind.DENOISE, Kind.DECODE, Kind.FUSE),
        "batches": {Kind.ENCODE_PROMPT: (1, 2), Kind.DENOISE: (1, 2)},
        "held_out_batches": {},
        "rows": (32, 40),
        "samples": 10,
        "warmup": 1,
        "threads": 2,
    },
}


def load(name: str) -> Any:
    """The model of a name in CONFIG."""
    if name == "twin":
        from megdt_opt.models.twin.model import TwinModel

        return TwinModel.load()
    from megdt_opt.models.diffusers.model import DiffusersModel

    return DiffusersModel.from_config(name)


def main() -> None:
    """Measure one profile and print its fits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(CONFIG))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with Progress(*Progress.get_default_columns(), TimeRemainingColumn()) as bar:
        task = bar.add_task(arguments.name)

        def show(done: int, total: int, label: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{arguments.name}: {label}")

        profile = calibrate(load(arguments.name), name="cpu", on_progress=show, **CONFIG[arguments.name])
    path = arguments.out or PROFILES / f"{arguments.name}-cpu.json"
    profile.save(path)
    print(f"written: {path.name}")
    for cell in profile.cells:
        low, high = cell.interval_s
        print(
            f"{cell.label:40s} {cell.median_s * 1e3:10.3f} ms  [{low * 1e3:.3f}, {high * 1e3:.3f}]  "
            f"first {(cell.first_s or 0) * 1e3:.1f}"
        )
    fit = profile.fit(Kind.DENOISE)
    print(f"denoising: {fit.a_s * 1e3:.3f} ms X + {fit.b_s * 1e3:.3f} ms, misfit {fit.misfit:.1%}, r2 {fit.r2}")
    for held in profile.held_out_errors():
        print(f"held out: {held.kind} batch {held.batch} rows {held.rows}: {held.error:+.2%}")


if __name__ == "__main__":
    main()
