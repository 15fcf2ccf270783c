"""A report is all of the new or all of the old, and what an earlier run left is gone."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from megdt_opt import InvalidInput
from megdt_opt.planning.plan import Plan
from megdt_opt.report import write_report
from megdt_opt.report.folder import write_folder
from megdt_opt.trials.pictures import Picture


def content(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below a folder; None for a folder."""
    return {p.relative_to(folder).as_posix(): None if p.is_dir() else p.read_bytes() for p in sorted(folder.rglob("*"))}


@contextmanager
def files_of_at_most(size_byte: int) -> Iterator[None]:
    """No file can grow beyond this, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_byte, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def another(made: Plan) -> Plan:
    """A plan that shows in every file."""
    scenario = made.scenario.model_copy(update={"name": "another"})
    return replace(made, table=replace(made.table, scenario=scenario))


def put_folder(name: str) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return put


def put_file(folder: Path) -> None:
    for path in (folder / "pictures").iterdir():
        path.unlink()
    (folder / "pictures").rmdir()
    (folder / "pictures").write_text("no folder")


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(put_folder("result.json"), id="a folder in the record's place"),
        pytest.param(put_folder("index.html"), id="a folder in the page's place"),
        pytest.param(put_file, id="a file in the pictures' place"),
    ],
)
def test_a_place_that_is_taken_leaves_the_old_report(
    made: Plan, pictures: tuple[Picture, ...], tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    write_report(tmp_path, made, pictures=pictures)
    spoil(tmp_path)
    before = content(tmp_path)
    with pytest.raises(InvalidInput, match="output"):
        write_report(tmp_path, another(made), pictures=pictures)
    assert content(tmp_path) == before


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize("size_byte", [1_000, 30_000, 60_000])
def test_a_disk_that_fills_leaves_the_old_report(made: Plan, tmp_path: Path, size_byte: int) -> None:
    write_report(tmp_path, made)
    before = content(tmp_path)
    assert max(len(data or b"") for data in before.values()) > size_byte
    with files_of_at_most(size_byte), pytest.raises(InvalidInput, match="File too large"):
        write_report(tmp_path, another(made))
    assert content(tmp_path) == before


def test_a_disk_that_is_full_leaves_no_folder(made: Plan, tmp_path: Path) -> None:
    with files_of_at_most(1_000), pytest.raises(InvalidInput, match="too large"):
        write_report(tmp_path / "new" / "report", made)
    assert content(tmp_path) == {}


def test_what_an_earlier_report_left_is_removed(made: Plan, pictures: tuple[Picture, ...], tmp_path: Path) -> None:
    write_report(tmp_path, made, pictures=pictures)
    (tmp_path / "plan.json").write_text("kept")
    (tmp_path / "pictures" / "mine.png").write_bytes(b"kept")
    first = content(tmp_path)
    stranger = replace(pictures[0], user="stranger")
    write_report(tmp_path, replace(made, baselines=()), pictures=[stranger])
    now = content(tmp_path)
    assert [name for name in now if "executed" in name] == ["pictures/stranger-executed.png"]
    assert not any("comparison" in name for name in now)
    assert (now["plan.json"], now["pictures/mine.png"]) == (b"kept", b"kept")
    assert now["result.json"] != first["result.json"]
    write_report(tmp_path, made)
    assert "pictures.png" not in content(tmp_path)
    assert "pictures/stranger-truth.png" not in content(tmp_path)


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize(
    "name", ["pictures/bob-executed.png", "comparison.svg", "pictures.png"], ids=["picture", "figure", "all pictures"]
)
@pytest.mark.parametrize("record", [None, "{}", '{"format": "another'], ids=["no record", "another", "half a record"])
def test_files_of_nobody_are_refused(made: Plan, tmp_path: Path, name: str, record: str | None) -> None:
    """They would be read as the new report's, and nothing says that an earlier report made them."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / name).write_bytes(b"somebody's")
    if record is not None:
        (tmp_path / "result.json").write_text(record)
    before = content(tmp_path)
    with pytest.raises(InvalidInput, match=name):
        write_report(tmp_path, replace(made, baselines=()))
    assert content(tmp_path) == before


def test_modes_and_links_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "real.txt").chmod(0o600)
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_folder(tmp_path, {"link.txt": b"new", "sub/other.txt": b"too"})
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
    assert (tmp_path / "real.txt").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "sub" / "other.txt").read_text() == "too"


def test_a_stop_between_two_files_puts_the_old_ones_back(tmp_path: Path) -> None:
    """A draft that has gone when its turn comes, as after a clean-up of the folder."""
    from megdt_opt.report.folder import _exchange

    for name in ("a", "b", "gone"):
        (tmp_path / name).write_text(f"old {name}")
    (tmp_path / "draft").write_text("new a")
    before = {**content(tmp_path), "draft": None}
    with pytest.raises(FileNotFoundError):
        _exchange({tmp_path / "draft": tmp_path / "a", tmp_path / "missing": tmp_path / "b"}, [tmp_path / "gone"])
    assert {**content(tmp_path), "draft": None} == before
