"""Write the trained factors of the worlds' adapters as the package reads them: float16 safetensors, and their list.

python experiments/twin/export_adapters.py --checkpoints FOLDER [--to FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from checkpoint import load
from safetensors.torch import save

from megdt_opt.files import write_bytes, write_text
from megdt_opt.models.twin.adapters import base_layers, parse_adapter
from megdt_opt.models.twin.weight_files import BUNDLED
from megdt_opt.models.twin.worlds import WORLDS


def main() -> None:
    """Write all worlds' files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=BUNDLED)
    args = parser.parse_args()
    listed = {}
    for name in WORLDS:
        trained = load(args.checkpoints / f"adapter-{name}.pt")
        if trained is None:
            raise SystemExit(f"{args.checkpoints}/adapter-{name}.pt is missing: run train_adapters.py first.")
        halves = {key: value.to(torch.float16).contiguous() for key, value in trained["factors"].items()}
        data = save(halves, {"model": "twin", "user": name, "denoiser_sha256": base_layers()[1]})
        parse_adapter(name, data)
        write_bytes(args.to / f"adapter-{name}.safetensors", data)
        listed[name] = {"byte": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        print(f"{name}: {len(data)} byte, {trained['step']} steps in {trained['spent']:.0f} s")
    write_text(args.to / "adapters.json", json.dumps(listed, indent=1) + "\n")


if __name__ == "__main__":
    main()
