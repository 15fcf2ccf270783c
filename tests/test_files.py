"""Files: what is refused when they are read, and what stays as it was when they are written."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from megdt_opt import Execution, InvalidInput, Plan, ProfileError, TimingProfile, files
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.errors import MegdtError, shown, visible
from megdt_opt.files import parse_json, read_json, read_text, try_file, try_folder, write_bytes, write_text
from megdt_opt.models.registry import find_spec
from megdt_opt.sweeping.cache import Cache

READERS: dict[str, Callable[[Path], object]] = {
    "plan": Plan.load,
    "profile": TimingProfile.load,
    "certificate": Certificate.load,
    "execution": Execution.load,
    "model spec": lambda path: find_spec(str(path)),
}

CONTENTS: dict[str, bytes] = {
    "nested 200,000 deep": b"[" * 200_000,
    "objects nested 5,000 deep": b'{"a":' * 5_000,
    "closed nesting": b"[" * 100_000 + b"]" * 100_000,
    "an integer of 5,000 digits": b'{"secretfield": ' + b"7" * 5_000 + b"}",
    "a fraction of 5,000 digits": b'{"secretfield": 0.' + b"7" * 5_000 + b"}",
    "a number beyond the largest": b'{"secretfield": 1e999}',
    "a negative number beyond the largest": b'{"secretfield": -1e400}',
    "NaN": b'{"secretfield": NaN}',
    "Infinity": b'{"secretfield": [-Infinity]}',
    "a field twice": b'{"format": "secretvalue", "format": "secretvalue"}',
    "an inner field twice": b'{"a": [{"b": "secretvalue", "b": 2}]}',
    "binary": bytes(range(256)),
    "an ELF header": b"\x7fELF\x02\x01\x01secretvalue\xff",
    "UTF-16": '{"format": "secretvalue"}'.encode("utf-16"),
    "half a character": b'{"a": "\\ud800secretvalue"}',
    "words": b"secretvalue and more\nsecretvalue",
    "nothing": b"",
    "a list": b'["secretvalue"]',
    "another format": b'{"format": "secretvalue", "schema": "x"}',
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("what", READERS)
def test_json_that_is_none_is_refused_by_the_files_name_and_not_quoted(
    what: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "given.json"
    path.write_bytes(content)
    with pytest.raises((InvalidInput, ProfileError)) as caught:
        READERS[what](path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600
    for secret in ("secretvalue", "7777", "[[["):
        assert secret not in str(caught.value)


@pytest.mark.parametrize("what", READERS)
def test_what_is_no_plain_file_is_refused_at_once(what: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for path, says in ((pipe, "named pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder")):
        with pytest.raises((InvalidInput, ProfileError), match=says):
            READERS[what](path)
    if what != "model spec":
        with pytest.raises((InvalidInput, ProfileError), match="No such file"):
            READERS[what](tmp_path / "none.json")


def test_a_text_file_named_as_a_model_is_not_quoted(tmp_path: Path) -> None:
    for name, text in (
        ("secret.txt", "root:secretvalue:19000"),
        ("key.pem", "secretvalue"),
        ("a.json", '{"k": "secretvalue"}'),
    ):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(InvalidInput) as caught:
            find_spec(str(path))
        assert str(path) in str(caught.value)
        assert "secretvalue" not in str(caught.value)


def test_a_damaged_cell_of_a_cache_is_no_result(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    path = cache.path("00aa")
    path.parent.mkdir(parents=True)
    for content in CONTENTS.values():
        path.write_bytes(content)
        assert cache.load("00aa") is None


def test_a_byte_order_mark_and_the_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path, "file") == {"a": 1}
    assert read_text(path, "file") == '{"a": 1}'
    with pytest.raises(InvalidInput, match="at most 10 byte"):
        read_text(path, "file", limit_byte=10)
    assert parse_json("[1, 2.5e3, -7, null]", "file", "text") == [1, 2500.0, -7, None]


# ---- writing


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o027])
def test_a_new_file_has_the_mode_of_the_umask(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a" / "plan.json", "{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "plan.json").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_an_existing_file_keeps_its_mode(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old")
    path.chmod(mode)
    write_text(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for name, target in (("there", "kept/a.json"), ("not yet", "kept/b.json")):
        link = tmp_path / name
        link.symlink_to(target)
        if name == "there":
            (tmp_path / target).write_text("old")
        write_text(link, "new")
        assert link.is_symlink()
        assert (tmp_path / target).read_text() == "new"


def test_pipes_and_devices_are_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    try_file(pipe)
    write_bytes(pipe, b"content")
    reader.join(10)
    assert got == [b"content"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_bytes(Path("/dev/null"), b"content")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    try_file(link)


def test_places_that_cannot_be_written_are_found_out_before(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    for place in (tmp_path, file / "plan.json", Path("/proc/nowhere/plan.json"), Path("bad\0name")):
        for attempt in (try_file, lambda path: write_text(path, "new")):
            with pytest.raises(InvalidInput, match="output") as caught:
                attempt(place)
            assert repr(str(place))[1:-1] in str(caught.value)
    for place in (file, file / "folder", Path("/proc/nowhere")):
        with pytest.raises(InvalidInput, match="output"):
            try_folder(place)
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_trying_leaves_nothing_behind(tmp_path: Path) -> None:
    try_file(tmp_path / "a" / "b" / "plan.json")
    try_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there() -> None:
    with pytest.raises(InvalidInput, match="No space left on device"):
        write_bytes(Path("/dev/full"), b"content")


def test_a_name_of_the_longest_kind_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 250 + ".json"), "{}")
    with pytest.raises(InvalidInput, match="File name too long"):
        write_text(tmp_path / ("x" * 300), "{}")


# ---- messages


def test_values_in_messages_are_short_whatever_they_are() -> None:
    nested: list[object] = []
    for _ in range(60):
        nested = [nested] * 10
    for value in (10**6000, "x" * 10**7, list(range(10**6)), nested, {str(i): i for i in range(10**5)}):
        assert len(shown(value)) <= 120
        assert len(str(InvalidInput("field", value, "less", "Shorten it."))) < 200
    assert shown("Müller") == "'Müller'"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("\x1b[2J\x1b[Hproven by the auditor", r"\x1b[2J\x1b[Hproven by the auditor"),
        ("a\rb\x07\x9b31m", r"a\rb\x07\x9b31m"),
        ("user\u202egnp.exe", r"user\u202egnp.exe"),
        ("two\nlines\tand Müller", "two\nlines\tand Müller"),
        ("\ud800", r"\ud800"),
    ],
)
def test_control_characters_are_shown(text: str, right: str) -> None:
    assert visible(text) == right


def test_errors_say_where(tmp_path: Path) -> None:
    error = InvalidInput("users.0.deadline", 4, "a time", "Write a unit.").within("cell.yaml, line 3")
    assert isinstance(error, MegdtError)
    assert str(error).startswith("cell.yaml, line 3: users.0.deadline: found 4")
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"name": "x", "latent_shape": [1, 2]}))
    with pytest.raises(InvalidInput, match=r"spec\.json: model spec, field 'latent_shape'"):
        find_spec(str(path))


@pytest.mark.parametrize(
    ("name", "ends", "folders", "right"),
    [
        ("demo", files.SCENARIO, True, False),
        ("cell.yaml", files.SCENARIO, True, True),
        ("CELL.YML", files.SCENARIO, False, True),
        ("cells/demo", files.SCENARIO, True, True),
        ("cells/demo", files.SCENARIO, False, False),
        (Path("here.json"), files.JSON, True, True),
        ("twin-cpu.json.gz", files.JSON, True, False),
        ("json", files.JSON, True, False),
    ],
)
def test_names_that_are_paths(name: str | Path, ends: tuple[str, ...], folders: bool, right: bool) -> None:
    assert files.is_path(name, ends, folders=folders) == right
