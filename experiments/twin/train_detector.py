"""Train the detector that judges pictures, on rendered scenes only.

    python experiments/twin/train_detector.py --out FOLDER [--minutes 6]

Resumes from FOLDER/detector.pt. Pictures are slightly blurred, shifted in tone and noised at random, so that the
detector does not lean on details that a good picture may lack. It never sees a generated picture.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from checkpoint import Average, load, save
from data import dataset
from torch import Tensor
from torch.nn import functional

from megdt_opt.models.twin.catalogue import COLOURS, KINDS, SIZE_PX
from megdt_opt.models.twin.detector_net import STRIDE_PX, DetectorNet

SEED, DATA_SEED, SCENES, BATCH, RATE = 3, 40_000, 16_000, 32, 3e-3


def targets(states: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Heat maps (B, kinds, 32, 32) and, for every object, its cell (b, row, column), colour and offset."""
    grid = SIZE_PX // STRIDE_PX
    heat = torch.zeros(len(states), len(KINDS), grid, grid)
    colour0, pose0 = 1 + len(KINDS), 1 + len(KINDS) + len(COLOURS)
    b, slot = torch.nonzero(states[..., 0] > 0.5, as_tuple=True)
    objects = states[b, slot]
    centre = objects[:, pose0 : pose0 + 2] * grid
    column, row = centre[:, 0].long(), centre[:, 1].long()
    kind = objects[:, 1:colour0].argmax(1)
    axis = torch.arange(grid)
    away = (axis[None, None, :] - column[:, None, None]).square() + (axis[None, :, None] - row[:, None, None]).square()
    bumps = torch.exp(-away / (2 * 1.2**2))
    for i in range(len(b)):
        torch.maximum(heat[b[i], kind[i]], bumps[i], out=heat[b[i], kind[i]])
    offset = centre - torch.stack([column, row], 1) - 0.5
    return heat, torch.stack([b, row, column]), objects[:, colour0:pose0].argmax(1), offset, kind


def spoil(x: Tensor, draw: torch.Generator) -> Tensor:
    """Blur, change the tone of, and add noise to pictures, each at random."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=draw)

    soft = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.lerp(x, soft, (0.9 * rand(len(x), 1, 1, 1)) * (rand(len(x), 1, 1, 1) < 0.6))
    x = x * (0.9 + 0.2 * rand(len(x), 1, 1, 1)) + 0.1 * (rand(len(x), 1, 1, 1) - 0.5)
    return x + 0.08 * rand(len(x), 1, 1, 1) * torch.randn(x.shape, generator=draw)


def main() -> None:
    """Train for the asked time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    pictures, states = (torch.from_numpy(np.ascontiguousarray(a)) for a in dataset(SCENES, DATA_SEED))
    net = DetectorNet()
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3)
    average = Average(net, 0.99)
    step, spent = 0, 0.0
    if (old := load(args.out / "detector.pt")) is not None:
        net.load_state_dict(old["net"])
        optimiser.load_state_dict(old["optimiser"])
        average.weights, step, spent = old["average"], old["step"], old["spent"]
    draw = torch.Generator().manual_seed(SEED + step)
    begin, limit, seen = time.monotonic(), args.minutes * 60, spent
    while spent < limit:
        for group in optimiser.param_groups:
            fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent / limit))
            group["lr"] = RATE * min(1.0, (step + 1) / 100) * fall
        picked = torch.randint(SCENES, (BATCH,), generator=draw)
        x = spoil(pictures[picked].permute(0, 3, 1, 2).float() / 127.5 - 1, draw)
        heat, cell, colour, offset, _ = targets(states[picked])
        kinds, colours, offsets = net(x)
        p = kinds.sigmoid().clamp(1e-4, 1 - 1e-4)
        peak = (heat > 0.999).float()
        focal = -(peak * (1 - p).square() * p.log() + (1 - peak) * (1 - heat).pow(4) * p.square() * (1 - p).log())
        at = (cell[0], slice(None), cell[1], cell[2])
        loss = (
            focal.sum() / len(colour)
            + functional.cross_entropy(colours[at], colour)
            + (2 * functional.l1_loss(offsets[at], offset))
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        average.update(net, step)
        step += 1
        spent += time.monotonic() - begin
        begin = time.monotonic()
        if step % 50 == 0:
            print(f"{spent:6.0f} s  step {step}  loss {loss.item():.3f}", flush=True)
        if spent - seen > 45 or spent >= limit:
            seen = spent
            save(
                args.out / "detector.pt",
                net=net.state_dict(),
                optimiser=optimiser.state_dict(),
                average=average.weights,
                step=step,
                spent=spent,
            )


if __name__ == "__main__":
    main()
