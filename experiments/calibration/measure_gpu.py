"""Measure SD1.5 and SDXL at their native size on a CUDA device, batches 1 to 16, in half precision.

    python experiments/calibration/measure_gpu.py sd15 sdxl --out profiles/

Not run for the shipped profiles: no GPU was at hand. Needs a CUDA build of torch, and about 40 GB of
device memory for SDXL at batch 16 (lower BATCHES on a smaller device).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from megdt_opt.calibration import calibrate
from megdt_opt.models.diffusers.model import DiffusersModel
from megdt_opt.program.stages import Kind

BATCHES = (1, 2, 4, 8, 16)
HELD_OUT = (3, 6, 12)


def main() -> None:
    """Measure the named models and save one profile for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=("sd15", "sd21", "sdxl"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="fp16", choices=("fp16", "bf16", "fp32"))
    parser.add_argument("--out", type=Path, default=Path())
    arguments = parser.parse_args()
    for name in arguments.names:
        model = DiffusersModel.from_config(name, device=arguments.device, precision=arguments.precision)
        profile = calibrate(
            model,
            device=arguments.device,
            precision=arguments.precision,
            batches=BATCHES,
            held_out_batches={Kind.DENOISE: HELD_OUT, Kind.DECODE: HELD_OUT[:1]},
            samples=30,
            warmup=5,
            on_progress=lambda done, total, label: print(f"{done}/{total} {label}", end="\r", flush=True),
        )
        profile.save(arguments.out / f"{name}-{arguments.device.replace(':', '')}.json")
        fit = profile.fit(Kind.DENOISE)
        print(f"\n{name}: {fit.a_s * 1e3:.2f} ms X + {fit.b_s * 1e3:.2f} ms, misfit {fit.misfit:.1%}")
        for held in profile.held_out_errors():
            print(f"  held out: {held.kind} batch {held.batch}: {held.error:+.2%}")
        del model


if __name__ == "__main__":
    main()
