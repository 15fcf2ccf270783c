"""Train the autoencoder of the twin model on rendered scenes.

    python experiments/twin/train_autoencoder.py --out FOLDER [--minutes 14]

Resumes from FOLDER/autoencoder.pt. Loss: absolute error, absolute error of the picture's gradients (sharp edges), and a
little KL divergence, so that the latent tolerates noise and rounding.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from checkpoint import Average, descend, load, save
from data import dataset
from torch import Tensor

from megdt_opt.models.twin.networks import fold, make_autoencoder, unfold

SEED, SCENES, BATCH, RATE, KL = 1, 12_000, 8, 2e-3, 2e-4


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between neighbouring pixels."""
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def main() -> None:
    """Train for the asked time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=14.0)
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    pictures = torch.from_numpy(dataset(SCENES)[0])
    net = make_autoencoder()
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-4, betas=(0.9, 0.99))
    average = Average(net, 0.995)
    step, spent = 0, 0.0
    if (old := load(args.out / "autoencoder.pt")) is not None:
        net.load_state_dict(old["net"])
        optimiser.load_state_dict(old["optimiser"])
        average.weights, step, spent = old["average"], old["step"], old["spent"]
    draw = torch.Generator().manual_seed(SEED + step)
    begin, seen, limit = time.monotonic(), 0.0, args.minutes * 60
    while spent < limit:
        rate = RATE * min(1.0, (step + 1) / 100, max(0.02, 1.6 * (1 - spent / limit)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        picked = torch.randint(SCENES, (BATCH,), generator=draw)
        shown = pictures[picked].flip(2) if step % 2 else pictures[picked]
        folded = fold(shown)
        x = unfold(folded)
        latent = net.encode(folded).latent_dist
        y = unfold(net.decode(latent.sample()).sample)
        pixel = (y - x).abs().mean()
        edge = sum((a - b).abs().mean() for a, b in zip(gradients(y), gradients(x), strict=True))
        spread = latent.kl().mean() / latent.mean[0].numel()
        loss = pixel + 0.5 * edge + KL * min(1.0, step / 300) * spread
        descend(loss, net, optimiser, average, step)
        step += 1
        spent += time.monotonic() - begin
        begin = time.monotonic()
        if step % 50 == 0:
            psnr = -10 * torch.log10(((y - x) / 2).square().mean())
            terms = f"pixel {pixel:.4f}  edge {edge:.4f}  kl {spread:.3f}"
            print(f"{spent:6.0f} s  step {step}  {terms}  {psnr:.1f} dB", flush=True)
        if spent - seen > 45 or spent >= limit:
            seen = spent
            save(
                args.out / "autoencoder.pt",
                net=net.state_dict(),
                optimiser=optimiser.state_dict(),
                average=average.weights,
                step=step,
                spent=spent,
            )


if __name__ == "__main__":
    main()
