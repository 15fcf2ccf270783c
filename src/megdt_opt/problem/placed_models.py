"""Models that servers hold, as problems with several servers state them: who needs which, how large they are, and where
they fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

NO_SERVER = -1
"""The server of an option that runs on the device alone."""

_SIZES = ("model_byte", "memory_byte")
_ASKS = ("user_model", "option_model")

FIELDS = (*_ASKS, *_SIZES)


def read_models(
    given: dict[str, Any], server: Ints, servers: int, indices: Callable[..., Ints]
) -> dict[str, NDArray[Any]]:
    """The fields of `FIELDS` that are given, checked.

    Parameters
    ----------
    given : dict
        By their names; None for one that is not given.
    server : array of int, (K, O)
        Servers of the options.
    servers : int
        E.
    indices : callable
        Reads numbers of models: (name, shape, least, most, what).

    Raises
    ------
    InvalidInput
        Where one is missing, has another shape or numbers out of range, or a model fits no server.
    """
    asks = [name for name in _ASKS if given[name] is not None]
    stated = [*asks, *(name for name in _SIZES if given[name] is not None)]
    if not stated:
        return {}
    if len(asks) > 1:
        raise InvalidInput("option_model", "given", "one of user_model and option_model", "Remove one of them.")
    for name in (asks[0] if asks else "user_model", *_SIZES):
        if name not in stated:
            fields = f"{asks[0] if asks else 'user_model or option_model'}, {', '.join(_SIZES)}"
            expected = f"an array, for {stated[0]} is given: placement needs {fields}"
            remedy = "Add it, or leave out all of them if every server has every model."
            raise InvalidInput(name, None, expected, remedy)
    shape = checks.plain("model_byte", given["model_byte"], "numbers [byte], shape (M models,)").shape
    if len(shape) != 1 or not shape[0]:
        raise InvalidInput("model_byte", shape, "the size of each model [byte], shape (M,)", "Give a list of them.")
    size = checks.numbers("model_byte", given["model_byte"], shape, "byte", axes=("model",), copy=True)
    memory = checks.numbers("memory_byte", given["memory_byte"], (servers,), "byte", axes=("server",), copy=True)
    found: dict[str, NDArray[Any]] = {"model_byte": size, "memory_byte": memory}
    if asks[0] == "user_model":
        found["user_model"] = indices("user_model", server.shape[:1], 0, shape[0] - 1, "model")
    else:
        found["option_model"] = _needs(given["option_model"], server, shape[0])
    large = np.flatnonzero(size > memory.max())
    if large.size:
        raise InvalidInput(
            f"model_byte (model {int(large[0])})", float(size[large[0]]),
            f"at most the largest memory of a server, {float(memory.max()):g} [byte]",
            "Give a server more memory, or leave out the model and the users' options that need it.",
        )  # fmt: skip
    return found


def _needs(given: Any, server: Ints, models: int) -> Mask:
    needs = checks.flags("option_model", given, (*server.shape, models), ("user", "option", "model"))
    wrong = np.argwhere(needs & (server == NO_SERVER)[:, :, None])
    if wrong.size:
        k, o, m = (int(i) for i in wrong[0])
        expected = "False for an option without a server (option_server -1)"
        remedy = "Set it to False, or name the server that runs the option."
        raise InvalidInput(f"option_model (user {k}, option {o}, model {m})", True, expected, remedy)
    return needs


def needs_of(
    user_model: Ints | None, option_model: Mask | None, server: Ints, models: int, user: NDArray[Any], option: Ints
) -> Mask:
    """Models that options (n,) of users (n,) need at their servers, (n, M)."""
    if option_model is not None:
        return np.asarray(option_model[user, option])
    needed = np.zeros((len(user), models), dtype=bool)
    if user_model is not None:
        at = np.flatnonzero(server[user, option] != NO_SERVER)
        needed[at, user_model[user[at]]] = True
    return needed


def fits(
    user_model: Ints | None, option_model: Mask | None, server: Ints, size: Array | None, memory: Array | None
) -> Mask:
    """Whether the server of an option holds what it needs, if it holds that alone, (K, O)."""
    if size is None or memory is None:
        return np.ones(server.shape, dtype=bool)
    if option_model is not None:
        asked = option_model @ size
    else:
        assert user_model is not None
        asked = np.broadcast_to(size[user_model][:, None], server.shape)
    return np.asarray((server == NO_SERVER) | (asked <= memory[server]))
