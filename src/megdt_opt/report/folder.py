"""Several files that belong together: all of the new ones, or all of the old."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from megdt_opt.errors import InvalidInput
from megdt_opt.files import try_file


def write_folder(folder: Path, contents: Mapping[str, bytes], stale: Iterable[str] = ()) -> None:
    """Write files into a folder and remove others, all of it or nothing.

    Every file is written to a draft beside its place first, so that a full disk or a place that cannot be written is
    met while everything old is still there; then the old files step aside and the drafts take their names.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    contents : mapping of str to bytes
        What to write, by path below the folder.
    stale : iterable of str
        Paths below the folder of files to remove.

    Raises
    ------
    InvalidInput
        Where a file cannot be written; the folder is then as it was.
    """
    targets = {name: Path(os.path.realpath(folder / name)) for name in contents}
    missing = [p for t in targets.values() for p in reversed(t.parents) if not p.exists()]
    drafts: dict[Path, Path] = {}
    try:
        for name, data in contents.items():
            target = targets[name]
            try_file(target)
            if target.exists() and not target.is_file():
                raise InvalidInput(
                    "output", str(target), "a plain file", "Remove what is there, or name another folder."
                )
            draft = _beside(target)
            drafts[draft] = target
            _write(draft, data, stat.S_IMODE(target.stat().st_mode) if target.exists() else None)
        _exchange(drafts, [folder / name for name in stale])
    except BaseException as error:
        for draft in drafts:
            draft.unlink(missing_ok=True)
        for made in reversed(dict.fromkeys(missing)):
            if made.is_dir() and not any(made.iterdir()):
                made.rmdir()
        if isinstance(error, OSError):
            remedy = f"{error.strerror}. Free it, or give another folder."
            raise InvalidInput("output", str(folder), "a folder that can be written", remedy) from None
        raise


def _write(draft: Path, data: bytes, mode: int | None) -> None:
    """A new file; with the mode of an old one, which nobody else may read meanwhile, or with the umask's."""
    draft.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    if mode is not None:
        os.chmod(draft, mode)


def _beside(target: Path) -> Path:
    """A name beside a file that nothing has."""
    return target.parent / f".draft-{os.urandom(8).hex()}"


def _exchange(drafts: Mapping[Path, Path], stale: Iterable[Path]) -> None:
    """Drafts take the names of their targets, stale files go; at a failure all that has moved moves back."""
    aside: dict[Path, Path] = {}
    placed: list[Path] = []
    try:
        for old in [*drafts.values(), *stale]:
            if old.exists():
                aside[old] = _beside(old)
                os.rename(old, aside[old])
        for draft, target in drafts.items():
            os.replace(draft, target)
            placed.append(target)
    except BaseException:
        for target in placed:
            target.unlink(missing_ok=True)
        for old, kept in aside.items():
            if kept.exists():
                os.rename(kept, old)
        raise
    for kept in aside.values():
        kept.unlink(missing_ok=True)
