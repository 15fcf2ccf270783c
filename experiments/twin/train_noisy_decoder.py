"""Train a decoder of the twin model for latents that come with noise, or merged.

    python experiments/twin/train_noisy_decoder.py --out FOLDER [--minutes 6.5] [--export]

Begins with the bundled autoencoder's decoder. Latents of rendered scenes are merged (half of them, at ratio 0.25 or
0.5), pass additive white Gaussian noise of -20 to 20 dB (four of five), and are scaled as a linear receiver that knows
the SNR scales them; the decoder is to draw the render. Resumes from FOLDER/noisy_decoder.pt; --export writes the
averaged weights beside the package's.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from checkpoint import Average, descend, load, save
from data import TRAIN_SEED, draw
from torch import Tensor, nn
from train_autoencoder import gradients

from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.networks import fold, unfold
from megdt_opt.models.twin.scenes import render
from megdt_opt.program.token_merging import merge, unmerge

SEED, SCENES, BATCH, RATE = 5, 5_000, 8, 8e-4
SNR_DB = (-20.0, 20.0)
CLEAN, MERGED, RATIOS = 0.2, 0.5, (0.25, 0.5)


def decoder_of(model: TwinModel) -> nn.ModuleDict:
    """The part of the autoencoder that draws: what is trained and exported."""
    coder = model._autoencoder
    return nn.ModuleDict({"decoder": coder.decoder, "post_quant_conv": coder.post_quant_conv})


def decode(net: nn.ModuleDict, latent: Tensor, model: TwinModel) -> Tensor:
    """Pictures (B, 3, 64, 64), about -1 to 1, of latents (B, 4, 16, 16)."""
    return unfold(net["decoder"](net["post_quant_conv"](latent * model._std + model._mean)))


def received(latent: Tensor, draw_from: np.random.Generator) -> Tensor:
    """Latents (B, 4, 16, 16) as they arrive: merged, noisy, scaled."""
    arrived = latent.numpy().copy()
    for i in range(len(arrived)):
        if draw_from.random() < MERGED:
            ratio = float(draw_from.choice(RATIOS))
            arrived[i : i + 1] = unmerge(*merge(arrived[i : i + 1], ratio), (1, *arrived.shape[1:]), ratio)
        if draw_from.random() >= CLEAN:
            snr = 10 ** (draw_from.uniform(*SNR_DB) / 10)
            noise = draw_from.standard_normal(arrived.shape[1:]).astype(np.float32) / np.float32(np.sqrt(snr))
            arrived[i] = (arrived[i] + noise) * np.float32(snr / (1 + snr))
    return torch.from_numpy(arrived)


def main() -> None:
    """Train for the asked time, and export where that is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.5)
    parser.add_argument("--export", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    begin, limit = time.process_time(), args.minutes * 60
    model = TwinModel.load()
    net = decoder_of(model).train().requires_grad_(True)
    pictures = torch.from_numpy(np.stack([render(draw(TRAIN_SEED, i)) for i in range(SCENES)]))
    latents = torch.cat([model.sense(part) for part in pictures.split(50)])
    print(f"{time.process_time() - begin:.0f} s: {SCENES} latents, std {latents.std():.3f}", flush=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-4, betas=(0.9, 0.99))
    average = Average(net, 0.995)
    step, spent = 0, 0.0
    if (old := load(args.out / "noisy_decoder.pt")) is not None:
        net.load_state_dict(old["net"])
        optimiser.load_state_dict(old["optimiser"])
        average.weights, step, spent = old["average"], old["step"], old["spent"]
    draws = np.random.default_rng([SEED, step])
    seen = spent
    while spent < limit:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 100, max(0.02, 1.4 * (1 - spent / limit)))
        picked = draws.integers(SCENES, size=BATCH)
        x = unfold(fold(pictures[picked]))
        y = decode(net, received(latents[picked], draws), model)
        edge = sum((a - b).abs().mean() for a, b in zip(gradients(y), gradients(x), strict=True))
        loss = (y - x).abs().mean() + 0.5 * edge
        descend(loss, net, optimiser, average, step)
        step += 1
        spent, begin = spent + time.process_time() - begin, time.process_time()
        if step % 100 == 0:
            print(f"{spent:6.0f} s  step {step}  loss {loss:.4f}", flush=True)
        if spent - seen > 45 or spent >= limit:
            seen = spent
            parts = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "average": average.weights}
            save(args.out / "noisy_decoder.pt", **parts, step=step, spent=spent)
    if args.export:
        from megdt_opt.models.twin.weight_files import add_part

        add_part("decoder-noisy.safetensors", average.weights)


if __name__ == "__main__":
    main()
