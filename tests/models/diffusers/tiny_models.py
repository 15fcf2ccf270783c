"""A model of diffusers' classes small enough to be timed for real within a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from megdt_opt.models.diffusers.architecture import FLOW_SCHEDULE, Architecture
from megdt_opt.models.diffusers.model import DiffusersModel

_TEXT = {
    "architectures": ["CLIPTextModel"],
    "vocab_size": 100,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 8,
    "projection_dim": 12,
}
_PROJECTED = {**_TEXT, "architectures": ["CLIPTextModelWithProjection"]}
_T5 = {
    "architectures": ["T5EncoderModel"],
    "vocab_size": 100,
    "d_model": 40,
    "d_ff": 32,
    "d_kv": 8,
    "num_layers": 1,
    "num_heads": 2,
    "is_encoder_decoder": False,
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


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from threads, and lose much where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """Like SD1.5: one text encoder."""
    return Architecture(name="tiny", denoiser=_UNET, vae=_VAE, text=(_TEXT,))


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
    return Architecture(name="tiny_xl", denoiser=unet, vae={**_VAE, "force_upcast": True}, text=(_TEXT, _PROJECTED))


@pytest.fixture(scope="session")
def tiny_3() -> Architecture:
    """Like SD3: a transformer, flow matching, three text encoders."""
    denoiser = {
        "sample_size": 8,
        "patch_size": 2,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": 40,
        "caption_projection_dim": 16,
        "pooled_projection_dim": 24,
        "pos_embed_max_size": 8,
    }
    vae = {**_VAE, "shift_factor": 0.1, "use_quant_conv": False, "use_post_quant_conv": False}
    return Architecture(
        name="tiny_3",
        kind="SD3Transformer2DModel",
        denoiser=denoiser,
        vae=vae,
        text=(_PROJECTED, _PROJECTED, _T5),
        schedule=FLOW_SCHEDULE,
    )


@pytest.fixture(scope="session")
def model(tiny: Architecture) -> DiffusersModel:
    """The small model on the CPU in fp32."""
    return DiffusersModel.from_config(tiny)
