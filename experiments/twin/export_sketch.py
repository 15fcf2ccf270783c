"""Add the trained reader of sketches to the weights that the package bundles; the other files stay as they are.

python experiments/twin/export_sketch.py --checkpoints FOLDER [--out src/megdt_opt/models/twin/weights]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from checkpoint import load

from megdt_opt.models.twin.weight_files import add, read_spec
from megdt_opt.program.model_spec import ALONE

FLOAT_BYTE = 4


def main() -> None:
    """Export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("src/megdt_opt/models/twin/weights"))
    args = parser.parse_args()
    kept = load(args.checkpoints / "sketch.pt")
    if kept is None:
        raise SystemExit(f"{args.checkpoints}/sketch.pt is missing: train it first.")
    print("after", kept["step"], "steps,", round(kept["spent"]), "s")
    weights = kept["average"]
    spec, _ = read_spec(args.out)
    byte = FLOAT_BYTE * sum(value.numel() for value in weights.values())
    spec = replace(spec, sketch=ALONE, weight_byte={**spec.weight_byte, "read_sketch": byte})
    add(args.out, spec, "sketch.safetensors", weights)


if __name__ == "__main__":
    main()
