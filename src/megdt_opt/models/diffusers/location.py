"""Where a pipeline is: its folder, or for a hub id the folder on this machine that holds it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from megdt_opt.errors import WeightsError
from megdt_opt.models.diffusers.folder import PipelineFolder, present, refuse_checkpoint

HUB_WAIT_S = 10.0
"""How long to wait for a hub's answer whether it has a model [s]."""

_SMALL = ("*.json", "*/*.json", "*/*.txt", "*/*.model")


def folder_of(path: str, **options: Any) -> Path:
    """The folder of a pipeline.

    Parameters
    ----------
    path : str
        Itself, or a hub id "OWNER/MODEL": what is cached is taken, the rest is downloaded.
    **options
        "revision", "cache_dir", "token", "local_files_only" and "variant", as the loaders of diffusers take them.

    Raises
    ------
    WeightsError
        Where there is none.
    InvalidInput
        Where it is a single checkpoint file.
    """
    refuse_checkpoint(path)
    if path and Path(path).is_dir():
        return Path(path)
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(path)
        owned = "/" in path
    except HFValidationError:
        owned = False
    if not owned:
        raise not_found(path, "neither a folder nor an id of the form OWNER/MODEL")
    return _of_hub(path, options)


def _of_hub(path: str, options: Mapping[str, Any]) -> Path:
    """The folder of a hub id, without a long wait for a hub that does not answer.

    The loaders would ask for a file again and again. Where the hub does not answer one question, what is cached is
    taken; where nothing is, that is said.
    """
    from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    where = {k: v for k, v in options.items() if k in ("revision", "cache_dir", "token")}
    cached = try_to_load_from_cache(
        path, "model_index.json", cache_dir=options.get("cache_dir"), revision=options.get("revision")
    )
    alone = options.get("local_files_only") or constants.HF_HUB_OFFLINE
    if not alone:
        try:
            HfApi().model_info(path, timeout=HUB_WAIT_S, revision=options.get("revision"), token=options.get("token"))
        except HfHubHTTPError as error:
            if error.response.status_code < 500:
                raise not_found(path, f"the hub says {type(error).__name__}") from error
            alone = _why(error)
        except Exception as error:  # what a network can do
            alone = _why(error)
    if alone:
        if not isinstance(cached, str):
            reason = "not cached" + (f", and {constants.ENDPOINT} {alone}" if isinstance(alone, str) else "")
            raise not_found(path, reason)
        return Path(cached).parent
    try:
        folder = Path(snapshot_download(path, allow_patterns=list(_SMALL), **where))
        index = PipelineFolder.open(folder)  # refused before a weight is downloaded
        middle = f".{options['variant']}" if options.get("variant") else ""
        parts = [part for part, entry in index.index.items() if present(entry)]
        wanted = [f"{part}/*{middle}.safetensors" for part in parts]
        left = [] if middle else ["*.fp16.safetensors", "*.bf16.safetensors", "*.non_ema.safetensors"]
        return Path(snapshot_download(path, allow_patterns=[*_SMALL, *wanted], ignore_patterns=left, **where))
    except (OSError, ValueError) as error:
        raise not_found(path, f"downloading it failed: {type(error).__name__}") from error


def _why(error: Exception) -> str:
    return f"gave no answer within {HUB_WAIT_S:g} s: {type(error).__name__}"


def not_found(path: str, reason: str) -> WeightsError:
    """The refusal of a pipeline that is not there."""
    return WeightsError(
        f"pipeline {path!r}: not found ({reason}). Pass a folder saved by diffusers, or the id of a model that this "
        "machine can download or has cached."
    )
