"""Train the token encoder and the denoiser of the twin model on latents of rendered scenes.

    python experiments/twin/train_denoiser.py --out FOLDER [--minutes 38]

Needs FOLDER/autoencoder.pt; resumes from FOLDER/denoiser.pt. Velocity prediction, mean squared error. Part of the
batches are bands of rows with the layout of the same rows, so that regions can be generated apart (parallel
generation).
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from checkpoint import Average, descend, load, save
from data import dataset
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor, nn

from megdt_opt.models.twin.networks import SCHEDULE, Denoiser, TokenEncoder, fold, make_autoencoder

SEED, SCENES, BATCH, RATE, BANDS = 2, 20_000, 32, 1.5e-3, 0.35


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, pictures: Tensor) -> Tensor:
    """Mean latents of pictures (n, 64, 64, 3) uint8, not yet normalised."""
    chunks = []
    for part in pictures.split(64):
        chunks.append(autoencoder.encode(fold(part)).latent_dist.mean)
    return torch.cat(chunks)


def latents(folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalised latents, states, and the latents' mean and deviation per channel; made once, then kept."""
    path = folder / "latents.pt"
    kept = load(path)
    if kept is None:
        trained = load(folder / "autoencoder.pt")
        if trained is None:
            raise SystemExit(f"{folder}/autoencoder.pt is missing: run train_autoencoder.py first.")
        autoencoder = make_autoencoder()
        autoencoder.load_state_dict(trained["average"])
        pictures, states = dataset(SCENES)
        raw = encode(autoencoder.eval(), torch.from_numpy(pictures))
        mean, std = raw.mean((0, 2, 3)), raw.std((0, 2, 3))
        kept = {
            "z": (raw - mean[:, None, None]) / std[:, None, None],
            "states": torch.from_numpy(states),
            "mean": mean,
            "std": std,
        }
        save(path, **kept)
    return kept["z"], kept["states"], kept["mean"], kept["std"]


def main() -> None:
    """Train for the asked time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=38.0)
    args = parser.parse_args()
    torch.set_num_threads(2)
    begin, spent, step, seen = time.monotonic(), 0.0, 0, 0.0
    z, states, mean, std = latents(args.out)
    torch.manual_seed(SEED)
    net = nn.ModuleDict({"tokens": TokenEncoder(), "denoiser": Denoiser()})
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3, betas=(0.9, 0.99))
    average = Average(net, 0.998)
    if (old := load(args.out / "denoiser.pt")) is not None:
        net.load_state_dict(old["net"])
        optimiser.load_state_dict(old["optimiser"])
        average.weights, step, spent = old["average"], old["step"], old["spent"]
    alpha_bar = DDIMScheduler(**SCHEDULE).alphas_cumprod
    draw = torch.Generator().manual_seed(SEED + step)
    limit, smooth = args.minutes * 60, math.nan
    while spent < limit:
        done = spent / limit
        rate = RATE * min(1.0, (step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
        for group in optimiser.param_groups:
            group["lr"] = rate
        picked = torch.randint(len(z), (BATCH,), generator=draw)
        rows = (0, 16)
        if torch.rand((), generator=draw) < BANDS:
            count = 2 * int(torch.randint(2, 8, (), generator=draw))
            first = int(torch.randint(0, 17 - count, (), generator=draw))
            rows = (first, first + count)
        x0 = z[picked][:, :, rows[0] : rows[1]]
        noise = torch.randn(x0.shape, generator=draw)
        timestep = torch.randint(1000, (BATCH,), generator=draw)
        a = alpha_bar[timestep].sqrt()[:, None, None, None]
        s = (1 - alpha_bar[timestep]).sqrt()[:, None, None, None]
        predicted = net["denoiser"](a * x0 + s * noise, timestep, net["tokens"](states[picked]), rows)
        loss = (predicted - (a * noise - s * x0)).square().mean()
        descend(loss, net, optimiser, average, step)
        step += 1
        spent += time.monotonic() - begin
        begin = time.monotonic()
        smooth = loss.item() if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"{spent:6.0f} s  step {step}  loss {smooth:.4f}", flush=True)
        if spent - seen > 60 or spent >= limit:
            seen = spent
            save(
                args.out / "denoiser.pt",
                net=net.state_dict(),
                optimiser=optimiser.state_dict(),
                average=average.weights,
                mean=mean,
                std=std,
                step=step,
                spent=spent,
            )


if __name__ == "__main__":
    main()
