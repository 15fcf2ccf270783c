"""Networks of the twin model: configurations of diffusers' classes, the token encoder and the layout painter."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from megdt_opt.models.twin.catalogue import COLOURS, FLOORS, KINDS, SLOTS

LATENT_SHAPE = (4, 16, 16)
"""Channels, rows, columns of the latent."""

POSE = 5
"""First values of a token: taken, x/64, y/64, cosine and sine of the heading."""

CONTENT = 64
"""Learned values of a token [1]."""

TOKENS_SHAPE = (SLOTS, POSE + CONTENT)
"""Shape of the conditioning that travels."""

LAYOUT = 32
"""Channels of the layout that the painter makes [1]."""

_REACH_CELLS = 2.2
_WAVES = (1.0, 2.0, 4.0, 8.0)

FOLD = 2
"""The autoencoder works on blocks of 2x2 pixels, folded into channels [px]."""

AUTOENCODER: dict[str, Any] = {
    "in_channels": 3 * FOLD**2,
    "out_channels": 3 * FOLD**2,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "latent_channels": LATENT_SHAPE[0],
    "norm_num_groups": 8,
    "sample_size": 32,
    "mid_block_add_attention": False,
}
"""Configuration of `diffusers.AutoencoderKL`: with the folding, a latent cell stands for 4x4 pixels."""

UNET: dict[str, Any] = {
    "sample_size": LATENT_SHAPE[1],
    "in_channels": LATENT_SHAPE[0] + LAYOUT,
    "out_channels": LATENT_SHAPE[0],
    "layers_per_block": 1,
    "block_out_channels": (48, 96),
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "cross_attention_dim": CONTENT,
    "attention_head_dim": 32,
    "norm_num_groups": 8,
}
"""Configuration of `diffusers.UNet2DConditionModel`: two levels, so regions are multiples of two rows."""


def make_autoencoder() -> AutoencoderKL:
    """Autoencoder with random weights."""
    return AutoencoderKL(**AUTOENCODER)


def fold(pictures: Tensor) -> Tensor:
    """Pictures (B, 64, 64, 3) uint8 as the autoencoder's input (B, 12, 32, 32) from -1 to 1."""
    return functional.pixel_unshuffle(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1, FOLD)


def unfold(decoded: Tensor) -> Tensor:
    """The autoencoder's output (B, 12, 32, 32) as channels first pictures (B, 3, 64, 64), about -1 to 1."""
    return functional.pixel_shuffle(decoded, FOLD)


SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
"""Noise schedule, as diffusers' schedulers take it; the denoiser predicts the velocity."""


def waves(unit: Tensor) -> list[Tensor]:
    """Sines and cosines of places (..., 2) from 0 to 1, eight of them."""
    return [f(2 * torch.pi * k * unit) for k in _WAVES for f in (torch.sin, torch.cos)]


class TokenEncoder(nn.Module):
    """Turns a scene's state into tokens: the pose as it is, and learned content that does not know the place."""

    def __init__(self) -> None:
        super().__init__()
        self._pose0 = 1 + len(KINDS) + len(COLOURS)
        known = self._pose0 + 2 + len(FLOORS)
        self.content = nn.Sequential(
            nn.Linear(known, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, CONTENT)
        )

    def forward(self, state: Tensor) -> Tensor:
        """Encode a state, (B, slots, features), into tokens, (B, slots, 69)."""
        pose0 = self._pose0
        known = torch.cat([state[..., :pose0], state[..., pose0 + 2 :]], dim=-1)
        pose = torch.cat([state[..., :1], state[..., pose0 : pose0 + 4]], dim=-1)
        return torch.cat([pose, self.content(known)], dim=-1)


class LayoutPainter(nn.Module):
    """Paints tokens onto the latent's grid: what stands where, for the denoiser's first layer.

    Around each object, a small network sees the cell's offset in the object's own frame and the token's content. A
    second one sees the cell's place in the whole picture and the mean content, for the floor. So a region of the
    layout is the same region of the whole picture's layout.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Linear(4, 64)
        self.what = nn.Linear(CONTENT, 64)
        self.paint = nn.Sequential(nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, LAYOUT))
        self.floor_place = nn.Linear(2 + 4 * len(_WAVES), 48)
        self.floor_what = nn.Linear(CONTENT, 48)
        self.floor = nn.Sequential(nn.SiLU(), nn.Linear(48, LAYOUT))

    def forward(self, tokens: Tensor, rows: tuple[int, int]) -> Tensor:
        """Layout of the grid's rows `rows[0]` to `rows[1] - 1`: (B, 32, rows, 16)."""
        size = LATENT_SHAPE[1]
        y = (torch.arange(rows[0], rows[1], dtype=tokens.dtype) + 0.5)[:, None].expand(-1, size)
        x = (torch.arange(size, dtype=tokens.dtype) + 0.5)[None, :].expand(rows[1] - rows[0], -1)
        taken, at_x, at_y, cosine, sine = tokens[..., None, None, :POSE].unbind(-1)
        content = tokens[..., POSE:]
        dx, dy = x - size * at_x, y - size * at_y
        u, v = dx * cosine + dy * sine, dy * cosine - dx * sine
        near = taken * torch.exp(-(dx.square() + dy.square()) / (2 * _REACH_CELLS**2))
        hidden = self.place(torch.stack([u, v, dx, dy], dim=-1)) + self.what(content)[:, :, None, None, :]
        objects = (near[..., None] * self.paint(hidden)).sum(dim=1)
        unit = torch.stack([x, y], dim=-1) / size
        ground = self.floor_place(torch.cat([unit, *waves(unit)], dim=-1))
        floor = self.floor(ground + self.floor_what(content.mean(dim=1))[:, None, None, :])
        return (objects + floor).permute(0, 3, 1, 2).contiguous()


class Denoiser(nn.Module):
    """Velocity of a noisy latent: painter, then a U-Net whose middle attends to the tokens' content."""

    def __init__(self) -> None:
        super().__init__()
        self.painter = LayoutPainter()
        self.unet = UNet2DConditionModel(**UNET)

    def forward(self, latent: Tensor, timestep: Tensor, tokens: Tensor, rows: tuple[int, int]) -> Tensor:
        """Predict the velocity, (B, 4, rows, 16), of the latent's rows `rows[0]` to `rows[1] - 1`.

        Parameters
        ----------
        latent : Tensor
            Noisy rows of the latent, (B, 4, rows, 16).
        timestep : Tensor
            Training timestep, () or (B,).
        tokens : Tensor
            (B, slots, 69).
        rows : tuple of int
            First row and the row after the last.
        """
        return self.painted(latent, timestep, self.painter(tokens, rows), tokens[..., POSE:])

    def painted(self, latent: Tensor, timestep: Tensor, layout: Tensor, content: Tensor) -> Tensor:
        """The same from a layout, (B, 32, rows, 16), and tokens' content, (B, tokens, 64)."""
        sample = torch.cat([latent, layout], dim=1)
        velocity: Tensor = self.unet(sample, timestep, content, return_dict=False)[0]
        return velocity
