"""Pipeline folders of every supported family with random weights, small enough to be run whole within a second.

`save(folder, family)` writes what diffusers' `save_pretrained` would: `DiffusionPipeline.from_pretrained` reads it too.
By hand: `python experiments/tiny_pipelines.py FOLDER FAMILY`.
"""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

LETTERS = string.ascii_lowercase + string.digits + ",.'"
PAD = "!"
CLIP_WORDS = [PAD, *LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
T5_WORDS = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -2.0) for letter in f"▁{LETTERS}")]
TOKENS = 8
WIDTH = 16
T5_WIDTH = 24

SD_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}

UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (16, 32),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
}
XL: dict[str, Any] = {
    **UNET,
    "cross_attention_dim": 2 * WIDTH,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 6 * 4 + 12,
}
SD3: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 1,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 2 * WIDTH + 8,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 24,
    "pos_embed_max_size": 16,
}
FLUX: dict[str, Any] = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": T5_WIDTH,
    "pooled_projection_dim": WIDTH,
    "guidance_embeds": True,
    "axes_dims_rope": (4, 6, 6),
}
PIXART: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 1,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "cross_attention_dim": 16,
    "caption_channels": T5_WIDTH,
    "use_additional_conditions": False,
}


def clip(projected: bool = False) -> Any:
    """A CLIP text model."""
    config = transformers.CLIPTextConfig(
        vocab_size=len(CLIP_WORDS), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=TOKENS, projection_dim=12, bos_token_id=len(CLIP_WORDS) - 2,
        eos_token_id=len(CLIP_WORDS) - 1, pad_token_id=len(CLIP_WORDS) - 1,
    )  # fmt: skip
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config).eval()


def t5(width: int = T5_WIDTH) -> Any:
    """A T5 encoder."""
    config = transformers.T5Config(
        vocab_size=len(T5_WORDS), d_model=width, d_ff=32, d_kv=8, num_layers=1, num_heads=2, is_encoder_decoder=False
    )
    return transformers.T5EncoderModel(config).eval()


def clip_tokenizer(pad: str = "<|endoftext|>") -> Any:
    """Spells words out letter by letter."""
    numbers = {word: number for number, word in enumerate(CLIP_WORDS)}
    return transformers.CLIPTokenizer(vocab=numbers, merges=[], model_max_length=TOKENS, pad_token=pad)


def t5_tokenizer() -> Any:
    """Spells words out letter by letter."""
    return transformers.T5Tokenizer(vocab=list(T5_WORDS), extra_ids=0, model_max_length=512)


def autoencoder(**more: Any) -> Any:
    """An autoencoder of the usual class."""
    config = {
        "block_out_channels": (8, 16), "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2, "latent_channels": 4, "norm_num_groups": 4, "sample_size": 16,
    }  # fmt: skip
    return diffusers.AutoencoderKL(**{**config, **more})


def small_autoencoder() -> Any:
    """One of the small class."""
    return diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1), latent_channels=4,
    )  # fmt: skip


def _sd(
    unet: Mapping[str, Any] = UNET, scheduler: Any = None, vae: Any = None, pad: str = "<|endoftext|>"
) -> dict[str, Any]:
    return {
        "unet": diffusers.UNet2DConditionModel(**unet),
        "vae": vae or autoencoder(),
        "text_encoder": clip(),
        "tokenizer": clip_tokenizer(pad),
        "scheduler": scheduler or diffusers.PNDMScheduler(**SD_SCHEDULE, skip_prk_steps=True),
    }


def _zero_snr() -> Any:
    how = {**SD_SCHEDULE, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "clip_sample": False}
    return diffusers.DDIMScheduler(**how, timestep_spacing="trailing")


def _xl(scheduler: Any = None) -> dict[str, Any]:
    return {
        **_sd(XL, scheduler or diffusers.EulerDiscreteScheduler(**SD_SCHEDULE, timestep_spacing="leading")),
        "vae": autoencoder(force_upcast=True),
        "text_encoder_2": clip(projected=True),
        "tokenizer_2": clip_tokenizer(pad=PAD),
    }


def _refiner() -> dict[str, Any]:
    parts = _xl()
    unet = {**XL, "cross_attention_dim": WIDTH, "projection_class_embeddings_input_dim": 5 * 4 + 12}
    left = {name: part for name, part in parts.items() if name not in ("text_encoder", "tokenizer")}
    return {**left, "unet": diffusers.UNet2DConditionModel(**unet)}


def _sd3(**schedule: Any) -> dict[str, Any]:
    return {
        "transformer": diffusers.SD3Transformer2DModel(**SD3),
        "vae": autoencoder(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        "text_encoder": clip(projected=True),
        "text_encoder_2": clip(projected=True),
        "text_encoder_3": t5(2 * WIDTH + 8),
        "tokenizer": clip_tokenizer(),
        "tokenizer_2": clip_tokenizer(pad=PAD),
        "tokenizer_3": t5_tokenizer(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(**schedule or {"shift": 3.0}),
    }


def _flux(guided: bool = True) -> dict[str, Any]:
    shifted = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.15}
    return {
        "transformer": diffusers.FluxTransformer2DModel(**{**FLUX, "guidance_embeds": guided}),
        "vae": autoencoder(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        "text_encoder": clip(),
        "text_encoder_2": t5(),
        "tokenizer": clip_tokenizer(),
        "tokenizer_2": t5_tokenizer(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=guided, **shifted),
    }


def _pixart() -> dict[str, Any]:
    return {
        "transformer": diffusers.PixArtTransformer2DModel(**PIXART),
        "vae": autoencoder(),
        "text_encoder": t5(),
        "tokenizer": t5_tokenizer(),
        "scheduler": diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear"),
    }


FAMILIES: Mapping[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "sd1": ("StableDiffusionPipeline", _sd),
    "sd2-v": ("StableDiffusionPipeline", lambda: _sd(scheduler=_zero_snr(), pad=PAD)),
    "sd1-small-decoder": ("StableDiffusionPipeline", lambda: _sd(vae=small_autoencoder())),
    "sdxl": ("StableDiffusionXLPipeline", _xl),
    "sdxl-turbo": (
        "StableDiffusionXLPipeline",
        lambda: _xl(diffusers.EulerAncestralDiscreteScheduler(**SD_SCHEDULE, timestep_spacing="trailing")),
    ),
    "sdxl-refiner": ("StableDiffusionXLImg2ImgPipeline", _refiner),
    "sd3": ("StableDiffusion3Pipeline", _sd3),
    "sd3-shifted-by-size": ("StableDiffusion3Pipeline", lambda: _sd3(use_dynamic_shifting=True)),
    "flux": ("FluxPipeline", _flux),
    "flux-schnell": ("FluxPipeline", lambda: _flux(guided=False)),
    "pixart": ("PixArtAlphaPipeline", _pixart),
    "lcm": (
        "LatentConsistencyModelPipeline",
        lambda: _sd({**UNET, "time_cond_proj_dim": 8}, diffusers.LCMScheduler(**{**SD_SCHEDULE, "steps_offset": 0})),
    ),
}
"""Families by name: diffusers' class of the pipeline, and what makes its parts."""


def save(folder: str | Path, family: str, seed: int = 0) -> Path:
    """Write a family's pipeline folder; the same weights for the same seed."""
    where, (pipeline, make) = Path(folder), FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = make()
    index: dict[str, Any] = {"_class_name": pipeline, "_diffusers_version": diffusers.__version__}
    for name, part in parts.items():
        part.save_pretrained(where / name)
        library = "transformers" if isinstance(part, transformers.PreTrainedModel | _TOKENIZERS) else "diffusers"
        index[name] = [library, type(part).__name__]
    if pipeline.startswith("StableDiffusionXL"):
        index["force_zeros_for_empty_prompt"] = family != "sdxl-refiner"
    if family == "sdxl-refiner":
        index |= {"text_encoder": [None, None], "tokenizer": [None, None], "requires_aesthetics_score": True}
    if pipeline in ("StableDiffusionPipeline", "LatentConsistencyModelPipeline"):
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    (where / "model_index.json").write_text(json.dumps(index, indent=1))
    return where


_TOKENIZERS = transformers.PreTrainedTokenizerBase

if __name__ == "__main__":
    print(save(sys.argv[1], sys.argv[2]))
