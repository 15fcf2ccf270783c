"""Time stages that a profile of the package lacks, beside a denoising step, and add them at the profile's speed.

    python experiments/calibration/add_stages.py twin sketch read_sketch denoise_sketch

A later session finds the machine at another speed. So a denoising step is timed in the same rounds, and the new times
are scaled by how much slower it was in the profile's own session; the profile says so. Other cells stay as they are.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from measure_cpu import CONFIG, PROFILES, load

from megdt_opt.calibration import calibrate
from megdt_opt.program.stages import Kind
from megdt_opt.timing.profile import TimingProfile


def main() -> None:
    """Time the stages and write the profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(CONFIG))
    parser.add_argument("kinds", nargs="+")
    arguments = parser.parse_args()
    path = PROFILES / f"{arguments.name}-cpu.json"
    old, how = TimingProfile.load(path), CONFIG[arguments.name]
    new = calibrate(
        load(arguments.name),
        kinds=(Kind.DENOISE, *arguments.kinds),
        batches=(1,),
        held_out_batches=(),
        rows=(),
        name="cpu",
        **{name: how[name] for name in ("samples", "warmup", "threads")},
    )
    factor = old.stage_s(Kind.DENOISE) / new.stage_s(Kind.DENOISE)
    cells = tuple(cell.scaled(factor) for cell in new.cells if cell.kind in arguments.kinds)
    kept = tuple(cell for cell in old.cells if cell.kind not in arguments.kinds)
    said = (
        f"{', '.join(arguments.kinds)} were timed in a later session ({new.provenance.created}) and scaled by "
        f"{factor:.3f}, as a denoising step was slower here"
    )
    others = tuple(text for text in old.provenance.texts if not text.startswith(arguments.kinds[0]))
    both = replace(
        old,
        cells=(*kept, *cells),
        provenance=replace(old.provenance, texts=(*others, said)),
        image_byte_samples={**old.image_byte_samples, **new.image_byte_samples},
        image_reference_byte_samples={**old.image_reference_byte_samples, **new.image_reference_byte_samples},
    )
    both.save(path)
    print(f"factor {factor:.3f}; {new.provenance.texts}")
    for cell in cells:
        print(f"{cell.label:30s} {cell.median_s * 1e3:8.3f} ms, first {1e3 * (cell.first_s or 0):.1f} ms")


if __name__ == "__main__":
    main()
