"""Write the trained weights as the package bundles them.

python experiments/twin/export_weights.py --checkpoints FOLDER [--out src/megdt_opt/models/twin/weights]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from checkpoint import load
from torch import Tensor

from megdt_opt.models.sampling import SCHEDULERS
from megdt_opt.models.twin.networks import LATENT_SHAPE, TOKENS_SHAPE
from megdt_opt.models.twin.scenes import STATE_SHAPE
from megdt_opt.models.twin.weight_files import write
from megdt_opt.program.model_spec import ModelSpec

FLOAT_BYTE = 4


def part(weights: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    """Tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(p): v for p in prefixes for k, v in weights.items() if k.startswith(p)}


def size(weights: dict[str, Tensor], *prefixes: str) -> int:
    """Memory of tensors in float32 [byte]."""
    return sum(FLOAT_BYTE * v.numel() for k, v in weights.items() if k.startswith(prefixes))


def main() -> None:
    """Export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("src/megdt_opt/models/twin/weights"))
    args = parser.parse_args()
    kept = {name: load(args.checkpoints / f"{name}.pt") for name in ("autoencoder", "denoiser", "detector")}
    for name, parts in kept.items():
        if parts is None:
            raise SystemExit(f"{args.checkpoints}/{name}.pt is missing: train it first.")
        print(name, "after", parts["step"], "steps,", round(parts["spent"]), "s")
    autoencoder, denoiser, detector = ({} if p is None else p for p in kept.values())
    coder, net = autoencoder["average"], denoiser["average"]
    spec = ModelSpec(
        name="twin",
        latent_shape=LATENT_SHAPE,
        image_shape=(64, 64, 3),
        conditioning={"tokens": TOKENS_SHAPE},
        request={"state": STATE_SHAPE},
        passes_per_step=1,
        steps_default=20,
        schedulers=SCHEDULERS,
        weight_byte={
            "encode_prompt": size(net, "tokens."),
            "denoise": size(net, "denoiser."),
            "decode": size(coder, "decoder.", "post_quant_conv."),
            "sense": size(coder, "encoder.", "quant_conv."),
        },
        region_multiple=2,
    )
    write(
        args.out,
        spec,
        {
            "tokens.safetensors": part(net, "tokens."),
            "denoiser.safetensors": part(net, "denoiser."),
            "autoencoder.safetensors": {**coder, "latent_mean": denoiser["mean"], "latent_std": denoiser["std"]},
            "detector.safetensors": {k: v for k, v in detector["average"].items()},
        },
    )


if __name__ == "__main__":
    main()
