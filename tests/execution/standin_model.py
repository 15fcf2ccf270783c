"""A small deterministic latent model of the executor's interface: real convolutions, random weights."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import torch
from torch import nn

from megdt_opt.models.sketches import as_tensor, decode_map, edges_of, encode_map
from megdt_opt.program.model_spec import ModelSpec

SPEC = ModelSpec(
    name="standin",
    latent_shape=(4, 16, 16),
    image_shape=(64, 64, 3),
    conditioning={"tokens": (5, 8)},
    request={"state": (5, 6)},
    passes_per_step=1,
    steps_default=6,
    schedulers=("ddim", "dpmpp"),
    region_multiple=2,
    sketch="alone",
)


class StandIn:
    """Denoises towards a conditioned target; "dpmpp" keeps the previous estimate as its history."""

    spec = SPEC

    def __init__(self):
        generator = torch.Generator().manual_seed(7)

        def filled(module):
            for weight in module.parameters():
                weight.data = torch.randn(weight.shape, generator=generator) * 0.2
            return module.eval().requires_grad_(False)

        self.prompt = filled(nn.Linear(6, 8))
        self.inner = filled(nn.Sequential(nn.Conv2d(12, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 4, 3, padding=1)))
        self.to_image = filled(nn.ConvTranspose2d(4, 3, 4, stride=4))
        self.to_latent = filled(nn.Conv2d(3, 4, 4, stride=4))

    @classmethod
    def load(cls):
        return cls()

    def encode_prompt(self, request):
        return {"tokens": torch.tanh(self.prompt(request["state"]))}

    def start(self, seed, *, scheduler, steps, rows=None):
        noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(seed))
        begin, end = rows or (0, 16)
        return {"latent": noise[:, :, begin:end].contiguous()}

    def denoise(self, state, conditioning, *, scheduler, steps, first, count, rows=None):
        latent, previous = state["latent"], state.get("previous_x0")
        shift = conditioning["tokens"].mean(dim=1)[:, :, None, None].expand(-1, -1, *latent.shape[2:])
        for step in range(first, first + count):
            estimate = self.inner(torch.cat([latent, shift], dim=1))
            direction = estimate if previous is None else 1.5 * estimate - 0.5 * previous
            latent = latent + (direction - latent) / (steps - step + 1)
            previous = estimate if scheduler == "dpmpp" else None
        if first + count == steps or previous is None:
            return {"latent": latent}
        return {"latent": latent, "previous_x0": previous}

    def fuse(self, latent_a, rows_a, latent_b, rows_b):
        whole = torch.zeros(*latent_a.shape[:2], 16, latent_a.shape[3])
        whole[:, :, rows_a[0] : rows_a[1]] = latent_a
        lap = rows_a[1] - rows_b[0]
        whole[:, :, rows_b[0] + lap :] = latent_b[:, :, lap:]
        whole[:, :, rows_b[0] : rows_a[1]] = (latent_a[:, :, rows_b[0] - rows_a[0] :] + latent_b[:, :, :lap]) / 2
        return whole

    def decode(self, latent):
        return (torch.sigmoid(self.to_image(latent)) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def sense(self, image):
        return self.to_latent(image.permute(0, 3, 1, 2).float() / 255)

    def start_from(self, latent, seed, *, scheduler, steps, first):
        noise = self.start(seed, scheduler=scheduler, steps=steps)["latent"]
        return {"latent": latent + noise * (steps - first) / steps}

    def sketch(self, image):
        return as_tensor(encode_map(edges_of(image[0].numpy()), 1))

    def read_sketch(self, data):
        edges = torch.from_numpy(decode_map(data.numpy().tobytes(), (64, 64), 1)).float()
        return {"tokens": torch.nn.functional.adaptive_avg_pool2d(edges[None, None], (5, 8))[0]}


class Faulty(StandIn):
    """Fails at a late step in the way that the sampler's name tells."""

    def denoise(self, state, conditioning, *, scheduler, steps, first, count, rows=None):
        if scheduler == "sleeping" and first == 4:
            time.sleep(60)
        if scheduler == "slow":
            time.sleep(0.15)
        if scheduler == "jumping" and first == 2:
            _jump(86400.0 if time.time() < 2e10 else -86400.0)
        if scheduler == "failing" and first == 3:
            raise ValueError("no step like this")
        state = super().denoise(
            state, conditioning, scheduler=scheduler, steps=steps, first=first, count=count, rows=rows
        )
        if scheduler == "misshapen" and first == steps - 1:
            return {"latent": state["latent"][:, :, :8]}
        if scheduler == "exiting" and first == 3:
            os._exit(3)
        return state


def _jump(by_s):
    """Set the clock of the day of this process to another time; the monotonic one cannot be set."""
    before = time.time
    time.time = lambda: before() + by_s


FAULTY_SPEC = replace(SPEC, schedulers=("ddim", "sleeping", "failing", "misshapen", "exiting", "slow", "jumping"))


class Broken(StandIn):
    """Cannot be loaded."""

    @classmethod
    def load(cls):
        from megdt_opt.errors import WeightsError

        raise WeightsError("denoiser.safetensors: truncated")
