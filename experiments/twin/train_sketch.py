"""Train the network that reads sketches (layouts) for the frozen denoiser of the twin model.

    python experiments/twin/train_sketch.py --out FOLDER [--minutes 4]

Resumes from FOLDER/sketch.pt. The teacher is the bundled model with the scene's own tokens: the student's grid and
tokens are drawn to the teacher's grid and mean token, and from some time on the denoiser's velocity on noisy latents to
the teacher's. Layouts are read off renders and off what the autoencoder makes of them, half each; nothing of the
bundled model changes.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from checkpoint import Average, descend, load, save
from data import TRAIN_SEED, draw
from diffusers import DDIMScheduler
from torch import Tensor

from megdt_opt.models.twin.layout import layout_of
from megdt_opt.models.twin.layout_net import LayoutReader
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.networks import POSE, SCHEDULE
from megdt_opt.models.twin.scenes import render, scene_state

SEED, SCENES, RATE = 13, 8_000, 1.2e-3
PAINT_BATCH, BATCH, PAINT_PART = 48, 16, 0.6


@torch.no_grad()
def examples(folder: Path, model: TwinModel) -> dict[str, Tensor]:
    """Latents, tokens and both layouts of every training scene; made once, then kept."""
    path = folder / "sketches.pt"
    kept = load(path)
    if kept is None:
        chunks: dict[str, list[Tensor]] = {"z": [], "tokens": [], "drawn": [], "decoded": []}
        for begin in range(0, SCENES, 50):
            scenes = [draw(TRAIN_SEED, i) for i in range(begin, begin + 50)]
            pictures = np.stack([render(scene) for scene in scenes])
            z = model.sense(torch.from_numpy(pictures))
            state = torch.from_numpy(np.stack([scene_state(scene) for scene in scenes]))
            chunks["z"].append(z)
            chunks["tokens"].append(model.encode_prompt({"state": state})["tokens"])
            for name, shown in (("drawn", pictures), ("decoded", model.decode(z).numpy())):
                chunks[name].append(torch.from_numpy(np.stack([layout_of(picture) for picture in shown])))
        kept = {name: torch.cat(parts) for name, parts in chunks.items()}
        save(path, **kept)
    return kept


def main() -> None:
    """Train for the asked processor time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=4.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TwinModel.load()
    denoiser = model.denoiser
    begin, spent, step, seen = time.process_time(), 0.0, 0, 0.0
    known = examples(args.out, model)
    torch.manual_seed(SEED)
    net = LayoutReader()
    print(sum(p.numel() for p in net.parameters()), "weights", flush=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3, betas=(0.9, 0.99))
    average = Average(net, 0.998)
    if (old := load(args.out / "sketch.pt")) is not None:
        net.load_state_dict(old["net"])
        optimiser.load_state_dict(old["optimiser"])
        average.weights, step, spent = old["average"], old["step"], old["spent"]
    alpha_bar = DDIMScheduler(**SCHEDULE).alphas_cumprod
    with torch.no_grad():
        spread = denoiser.painter(known["tokens"][:256], (0, 16)).std((0, 2, 3), keepdim=True) + 1e-3
    draws = torch.Generator().manual_seed(SEED + step)
    limit, smooth = args.minutes * 60, [math.nan, math.nan]
    while spent < limit:
        done = spent / limit
        rate = RATE * min(1.0, (step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
        for group in optimiser.param_groups:
            group["lr"] = rate
        whole = done >= PAINT_PART
        picked = torch.randint(SCENES, (BATCH if whole else PAINT_BATCH,), generator=draws)
        drawn = torch.rand(len(picked), generator=draws)[:, None, None] < 0.5
        grid, tokens = net(torch.where(drawn, known["drawn"][picked], known["decoded"][picked]))
        taught = known["tokens"][picked]
        with torch.no_grad():
            painted = denoiser.painter(taught, (0, 16))
        paint = ((grid - painted) / spread).square().mean()
        paint = paint + (tokens - taught[..., POSE:].mean(dim=1, keepdim=True)).square().mean()
        loss, apart = paint, torch.zeros(())
        if whole:
            z = known["z"][picked]
            noise = torch.randn(z.shape, generator=draws)
            timestep = torch.randint(1000, (BATCH,), generator=draws)
            a = alpha_bar[timestep].sqrt()[:, None, None, None]
            noisy = a * z + (1 - a.square()).sqrt() * noise
            with torch.no_grad():
                teacher = denoiser.painted(noisy, timestep, painted, taught[..., POSE:])
            apart = (denoiser.painted(noisy, timestep, grid, tokens) - teacher).square().mean()
            loss = 0.1 * paint + 10 * apart
        descend(loss, net, optimiser, average, step)
        step += 1
        spent += time.process_time() - begin
        begin = time.process_time()
        now = (paint.item(), apart.item())
        smooth = [n if math.isnan(s) else 0.98 * s + 0.02 * n for s, n in zip(smooth, now, strict=True)]
        if step % 50 == 0:
            print(f"{spent:6.0f} s  step {step}  grid {smooth[0]:.4f}  velocity {smooth[1]:.5f}", flush=True)
        if spent - seen > 60 or spent >= limit:
            seen = spent
            parts = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "average": average.weights}
            save(args.out / "sketch.pt", **parts, step=step, spent=spent)


if __name__ == "__main__":
    main()
