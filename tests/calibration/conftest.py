"""A model of diffusers' classes small enough to be timed for real within a second."""

from __future__ import annotations

import pytest

from megdt_opt.diffusers_architecture import Architecture
from megdt_opt.diffusers_model import DiffusersModel

_TEXT = {
    "vocab_size": 100,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 8,
    "projection_dim": 12,
}
_UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (16, 32),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 16,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
}
_VAE = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "sample_size": 16,
}


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """Like SD1.5: one text encoder."""
    return Architecture(name="tiny", unet=_UNET, vae=_VAE, text=(_TEXT,))


@pytest.fixture(scope="session")
def tiny_xl() -> Architecture:
    """Like SDXL: two text encoders, pooled conditioning and sizes."""
    unet = {
        **_UNET,
        "cross_attention_dim": 32,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 6 * 4 + 12,
    }
    return Architecture(name="tiny_xl", unet=unet, vae={**_VAE, "force_upcast": True}, text=(_TEXT, _TEXT))


@pytest.fixture(scope="session")
def model(tiny: Architecture) -> DiffusersModel:
    """The small model on the CPU in fp32."""
    return DiffusersModel.from_config(tiny)
