"""Measure how long the twin's latents are when they are entropy coded: what plans count with.

    PYTHONPATH=src python experiments/twin/measure_lengths.py [--scenes 40]

Latents of held-out scenes after some of 20 steps, with all three samplers and their histories, whole and in the bands
of parallel generation. Writes data/quality/twin-lengths.json of the package (mean of the array's length, and standard
deviation of its logarithm) and lengths.md, with how the lossless coders compare.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path

import numpy as np
import torch
from measure_quality import BATCH, HELD_OUT_SEED, STEPS, prepared
from numpy.typing import NDArray

from megdt_opt.files import write_text
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import random_scene
from megdt_opt.models.twin.weight_files import BUNDLED
from megdt_opt.program.latent_codes import LATENT_CODES, LatentCode

CUTS = (1, 5, 10, 15, 20)
SAMPLERS = ("ddim", "euler", "dpmpp")
TABLE = Path(__file__).parents[2] / "src/megdt_opt/data/quality/twin-lengths.json"

Latents = dict[tuple[str, int], NDArray[np.float32]]


def latents(model: TwinModel, count: int) -> Latents:
    """Every tensor of latent shape of the chains' states, (scenes x tensors, 4, 16, 16), by sampler and step."""
    scenes = [random_scene(np.random.default_rng(HELD_OUT_SEED + i)) for i in range(count)]
    found: dict[tuple[str, int], list[NDArray[np.float32]]] = {}
    for sampler in SAMPLERS:
        chain = {"scheduler": sampler, "steps": STEPS}
        for begin in range(0, count, BATCH):
            conditioning, seeds = prepared(model, scenes, begin)
            state = {"latent": torch.cat([model.start(seed, **chain)["latent"] for seed in seeds])}
            at = 0
            for cut in CUTS:
                state = model.denoise(state, conditioning, first=at, count=cut - at, **chain)
                at = cut
                found.setdefault((sampler, cut), []).extend(
                    value.numpy() for value in state.values() if value.ndim == 4
                )
    return {key: np.concatenate(values) for key, values in found.items()}


def coders(known: Latents) -> list[str]:
    """Mean bytes of a latent's integers by coder, a row for each step."""
    lines = []
    for bits in (8, 4):
        one = LatentCode(bits=bits)
        for cut in CUTS:
            codes = [_codes(one, x[None]) for x in known["ddim", cut]]
            pooled = np.bincount(np.concatenate([_codes(one, x[None]) for x in np.concatenate([*known.values()])]))
            table = np.log2(pooled.sum() / np.maximum(pooled, 0.5))
            found = [np.mean([table[c].sum() / 8 for c in codes])]
            for strategy in (zlib.Z_HUFFMAN_ONLY, zlib.Z_FILTERED, zlib.Z_DEFAULT_STRATEGY):
                found.append(np.mean([_deflated(c, strategy) for c in codes]))
            cells = " | ".join(f"{f:.0f}" for f in (128 * bits, *found))
            lines.append(f"| int{bits} at {cut} | {cells} |")
    return lines


def _codes(one: LatentCode, latent: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, scale = one.encode(latent)["range"]
    return np.rint((latent[0] - low[:, None, None]) / scale[:, None, None]).astype(np.uint8).ravel()


def _deflated(codes: NDArray[np.uint8], strategy: int) -> int:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
    return len(coder.compress(codes.tobytes()) + coder.flush())


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    known = latents(TwinModel.load(), args.scenes)
    everything = np.concatenate([*known.values()])
    lengths: dict[str, dict[str, tuple[float, float]]] = {}
    table = []
    for code in (code for code in LATENT_CODES if code.coded):
        for rows in range(2, 17, 2):
            sizes = [code.encode(x[None, :, :rows])[""].nbytes for x in everything]
            mean, deviation = float(np.mean(sizes)), float(np.std(np.log(sizes)))
            lengths.setdefault(code.name, {})[f"4x{rows}x16"] = (round(mean, 2), round(deviation, 4))
            if rows == 16:
                plain = LatentCode(bits=code.bits, ratio=code.ratio).encode(everything[:1])[""].nbytes
                by_cut = [np.mean([code.encode(x[None])[""].nbytes for x in known["ddim", cut]]) for cut in CUTS]
                cells = " | ".join(f"{f:.0f}" for f in (plain, mean, *by_cut))
                table.append(f"| {code.name} | {cells} |")
    spec = json.loads((BUNDLED / "spec.json").read_text())
    provenance = {
        "model": "twin", "weights": {name: spec["files"][name]["sha256"] for name in ("denoiser.safetensors",)},
        "samplers": list(SAMPLERS), "steps": STEPS, "cuts": list(CUTS), "scenes": args.scenes,
        "seeds": f"{HELD_OUT_SEED} + scene", "statistic": "mean [byte], standard deviation of the logarithm [1]",
        "torch": torch.__version__, "zlib": zlib.ZLIB_RUNTIME_VERSION, "script": "experiments/twin/measure_lengths.py",
    }  # fmt: skip
    write_text(TABLE, json.dumps({"lengths": lengths, "provenance": provenance}, indent=1) + "\n")
    heads = " | ".join(f"at {cut}" for cut in CUTS)
    lines = [
        f"# Lengths of coded latents of the twin, on {args.scenes} held-out scenes",
        "",
        f"After some of {STEPS} steps; torch {torch.__version__}. Written by `measure_lengths.py` with the table that "
        "plans count with, `twin-lengths.json` of the package.",
        "",
        "## Array of a latent [byte]: not coded, mean over everything, mean with DDIM after a step",
        "",
        f"| precision | not coded | mean | {heads} |",
        "|" + "---|" * (3 + len(CUTS)),
        *table,
        "",
        "## Coders of a whole latent's 1,024 integers, DDIM [byte]",
        "",
        "One table for all: entropy under the pooled frequencies of everything measured here, a bound for a static "
        "Huffman table. Deflate makes a table for each latent and sends it along.",
        "",
        "| integers at step | packed | one table for all | Huffman alone | filtered | default |",
        "|" + "---|" * 6,
        *coders(known),
        "",
    ]
    write_text(Path(__file__).with_name("lengths.md"), "\n".join(lines))


if __name__ == "__main__":
    main()
