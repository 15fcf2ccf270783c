"""Train an adapter of the twin's denoiser for each world: low-rank factors on the world's own renders.

    python experiments/twin/train_adapters.py --out FOLDER [--seconds 40] [--world NAME]

The denoiser, the tokens and the autoencoder stay as they are shipped. Each world has a budget of processor seconds
for its training steps; a run resumes from FOLDER/adapter-NAME.pt. Velocity prediction as for the denoiser, part of the
batches on bands of rows. `export_adapters.py` writes the factors as the package reads them.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from checkpoint import load, save
from diffusers import DDIMScheduler
from torch import Tensor
from torch.func import functional_call

from megdt_opt.models.twin.low_rank import changed, first_factors
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.networks import SCHEDULE
from megdt_opt.models.twin.scenes import render, scene_state
from megdt_opt.models.twin.worlds import WORLDS, World

SEED, SCENES, BATCH, RATE, RANK, BANDS = 40_000, 400, 8, 5e-3, 4, 0.2


def dataset(model: TwinModel, world: World, path: Path) -> tuple[Tensor, Tensor]:
    """Latents of a world's renders, and the conditioning of its scenes; made once, then kept.

    Scene i comes from seed (SEED, i).
    """
    if (kept := load(path)) is not None:
        return kept["latents"], kept["tokens"]
    scenes = [world.draw(np.random.default_rng((SEED, i))) for i in range(SCENES)]
    pictures = torch.from_numpy(np.stack([render(scene, world.look) for scene in scenes]))
    states = torch.from_numpy(np.stack([scene_state(scene) for scene in scenes]))
    latents = torch.cat([model.sense(part) for part in pictures.split(50)])
    tokens = model.encode_prompt({"state": states})["tokens"]
    save(path, latents=latents, tokens=tokens)
    return latents, tokens


def train(model: TwinModel, world: World, folder: Path, limit_s: float) -> None:
    """Train one world's factors until its processor time is spent."""
    path, net = folder / f"adapter-{world.name}.pt", model.denoiser
    z, tokens = dataset(model, world, folder / f"latents-{world.name}.pt")
    factors = first_factors(RANK, torch.Generator().manual_seed(SEED))
    leaves = [value.requires_grad_() for value in factors.values()]
    optimiser = torch.optim.Adam(leaves, lr=RATE, betas=(0.9, 0.99))
    spent, step, smooth = 0.0, 0, math.nan
    if (old := load(path)) is not None:
        with torch.no_grad():
            for name, value in old["factors"].items():
                factors[name].copy_(value)
        optimiser.load_state_dict(old["optimiser"])
        step, spent = old["step"], old["spent"]
    alpha_bar = DDIMScheduler(**SCHEDULE).alphas_cumprod
    draw = torch.Generator().manual_seed(SEED + step)
    begin = time.process_time()
    while spent < limit_s:
        done = spent / limit_s
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        picked = torch.randint(len(z), (BATCH,), generator=draw)
        rows = (0, 16)
        if torch.rand((), generator=draw) < BANDS:
            count = 2 * int(torch.randint(2, 8, (), generator=draw))
            first = 2 * int(torch.randint(0, 9 - count // 2, (), generator=draw))
            rows = (first, first + count)
        x0 = z[picked][:, :, rows[0] : rows[1]]
        noise = torch.randn(x0.shape, generator=draw)
        timestep = torch.randint(1000, (BATCH,), generator=draw)
        a = alpha_bar[timestep].sqrt()[:, None, None, None]
        s = (1 - alpha_bar[timestep]).sqrt()[:, None, None, None]
        predicted = functional_call(net, changed(net, factors), (a * x0 + s * noise, timestep, tokens[picked], rows))
        loss = (predicted - (a * noise - s * x0)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        optimiser.step()
        step += 1
        smooth = loss.item() if math.isnan(smooth) else 0.95 * smooth + 0.05 * loss.item()
        spent += time.process_time() - begin
        begin = time.process_time()
        if step % 50 == 0:
            print(f"{world.name} {spent:6.0f} s  step {step}  loss {smooth:.4f}", flush=True)
        if step % 100 == 0 or spent >= limit_s:
            state = {name: value.detach() for name, value in factors.items()}
            save(path, factors=state, optimiser=optimiser.state_dict(), step=step, spent=spent)


def main() -> None:
    """Train the asked worlds for the asked time each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--world", action="append", choices=tuple(WORLDS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TwinModel.load()
    for name in args.world or WORLDS:
        train(model, WORLDS[name], args.out, args.seconds)


if __name__ == "__main__":
    main()
