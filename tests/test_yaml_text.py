"""YAML of scenarios: what it may hold, and that a refusal names file, line and field."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from megdt_opt import InvalidInput, Scenario
from megdt_opt.cli.sweep import read_over
from megdt_opt.yaml_text import DEPTH, VALUES, parse_yaml

TEXT = """\
x-phone: &phone
  device: {stretch: 8, memory: 1 GB}
  uplink_efficiency: 2 bit/s/Hz
steps: 20
channel:
  downlink: 20 MHz
  uplink: 1 MHz
users:
  - name: first
    <<: *phone
    downlink_efficiency: 2 bit/s/Hz
    deadline: 4 s
  - name: second
    <<: [*phone]
    downlink_efficiency: 3 bit/s/Hz
    uplink_efficiency: 1 bit/s/Hz
"""


def refused(text: str, tmp_path: Path, name: str = "cell.yaml") -> str:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        Scenario.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600
    return str(caught.value)


def test_anchors_shared_under_a_key_of_their_own() -> None:
    first, second = Scenario.from_yaml(TEXT).users
    assert first.device == second.device
    assert first.device.stretch == 8
    # what a user says itself goes before what it shares
    assert (first.uplink_efficiency_bit_per_s_per_hz, second.uplink_efficiency_bit_per_s_per_hz) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("old", "new", "field", "lines"),
    [
        ("  uplink: 1 MHz", "  uplink: 1 MHz\n  downlink: 1 MHz", "channel.downlink", (8, 6)),
        ("steps: 20", "steps: 20\nsteps: 10", "steps", (5, 4)),
        ("    deadline: 4 s", "    deadline: 4 s\n    name: third", "users.0.name", (13, 9)),
        ("stretch: 8,", "stretch: 8, stretch: 9,", "x-phone.device.stretch", (2, 2)),
        ("    <<: *phone", "    <<: *phone\n    <<: *phone", "users.0.<<", (11, 10)),
    ],
)
def test_a_key_given_twice_is_refused_with_both_lines(
    old: str, new: str, field: str, lines: tuple[int, int], tmp_path: Path
) -> None:
    said = refused(TEXT.replace(old, new, 1), tmp_path)
    assert f"line {lines[0]}: {field}: found" in said
    assert f"line {lines[1]} already" in said


def test_a_second_list_of_users_does_not_replace_the_first(tmp_path: Path) -> None:
    said = refused(TEXT + "users: []\n", tmp_path)
    assert "line 17: users: found 'users'" in said
    assert "line 8 already" in said


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "on",
        "True",
        "020",
        "00",
        "0x1F",
        "0o17",
        "0b11",
        "1_000",
        "1:30",
        "2024-01-02",
        '"20"',
        "20 steps",
        ".nan",
    ],
)
@pytest.mark.parametrize(
    ("old", "field", "line"),
    [("steps: 20", "steps", 4), ("stretch: 8", "users.0.device.stretch", 9), ("deadline: 4 s", "deadline", 12)],
)
def test_what_only_looks_like_a_number_is_refused(old: str, field: str, line: int, value: str, tmp_path: Path) -> None:
    said = refused(TEXT.replace(old, f"{old.partition(':')[0]}: {value}"), tmp_path)
    assert f"line {line}: " in said
    assert field.rpartition(".")[2] in said


@pytest.mark.parametrize("value", ["[yes]", "[5, 010]", '["3"]'])
def test_the_same_in_a_list(value: str, tmp_path: Path) -> None:
    assert "line 1: cuts." in refused(f"cuts: {value}\n{TEXT}", tmp_path)


@pytest.mark.parametrize(
    "name", ["2024-13-45", "2024-01-02", "yes", "no", "020", "0x_", "1:30", "1_0", "12e", "12:30:45", "0b"]
)
def test_text_that_yaml_took_for_something_else_stays_text(name: str) -> None:
    scenario = Scenario.from_yaml(f"name: {name}\n" + TEXT.replace("second", name.replace(":", "-")))
    assert scenario.name == name
    assert scenario.users[1].name == name.replace(":", "-")


def test_values_that_are_what_they_look_like() -> None:
    found = parse_yaml("[1, -2, 0, 2.5, .5, 1e3, +4, true, FALSE, null, ~, '', \"1\", -.inf, off]", "text").value
    assert found == [1, -2, 0, 2.5, 0.5, 1000.0, 4, True, False, None, None, "", "1", float("-inf"), "off"]
    assert [type(v) for v in found[:7]] == [int, int, int, float, float, float, int]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB + "users: *j\n", "aliases"),
        (BOMB.replace("[", "{p: [").replace("]", "]}") + "users: *j\n", "aliases"),
        (
            "a: &a {" + ", ".join(f"k{i}: v" for i in range(1500)) + "}\nb: [" + ", ".join(["*a"] * 1500) + "]\n",
            "aliases",
        ),
        ("a: " + "[" * 2000, "levels"),
        ("a: " + "[" * 200_000, "levels"),
        ("a: " + "{b: " * 300 + "1" + "}" * 300, "levels"),
        ("".join(" " * i + f"k{i}:\n" for i in range(100)), "levels"),
        ("steps: " + "9" * 5000, "line 1: steps: "),
        ("steps: -" + "9" * 101, "line 1: steps: "),
        ("steps: 1." + "9" * 5000, "line 1: steps: "),
        ("steps: !!int x", "tag"),
        ("a: !!python/object/apply:os.system [echo]", "tag"),
        ("a: !!timestamp 2024-13-45", "tag"),
        ("a: !!binary 5", "tag"),
        ("a: !own {b: 1}", "tag"),
        ("a: *b", "anchor"),
        ("a: &a [*a]", "anchor"),
        ("a: 1\n---\nb: 2", "line 2"),
        ("a: 1\nb: [", "line 3"),
        ("? [a]\n: 1", "name"),
        ("? {a: 1}\n: 1", "name"),
        (": 1", "key"),
        ("a: {<<: 3}", "mapping"),
        ("a: \x07", "line 1"),
        ("a: b\n\tc: d", "line 2"),
        ("self: 1\n" + TEXT, "line 1: self: "),
        (TEXT.replace("name: first", "name: first\n    self: 1"), "line 10: users.0.self"),
        ("[1, 2]", "mapping"),
        ("words", "mapping"),
        ("", "mapping"),
    ],
)
def test_what_is_refused_at_once(text: str, says: str, tmp_path: Path) -> None:
    said = refused(text, tmp_path)
    assert says in said
    assert "9999" not in said or "found '9999" in said or "found '-9999" in said or "found '1.9999" in said


def test_limits_are_those_stated() -> None:
    deep = "[" * DEPTH + "]" * DEPTH
    assert parse_yaml(deep, "text").value
    with pytest.raises(InvalidInput, match=f"at most {DEPTH} levels"):
        parse_yaml(f"[{deep}1]", "text") if DEPTH < 1 else parse_yaml("[" * (DEPTH + 2) + "]" * (DEPTH + 2), "text")
    assert VALUES >= 10 * 10_000 * 10


def test_files_are_taken_as_people_have_them(tmp_path: Path) -> None:
    for name, encoding in (("CELL.YAML", "utf-8"), ("bom.yml", "utf-8-sig"), ("crlf.yaml", "utf-8")):
        path = tmp_path / name
        path.write_bytes((TEXT.replace("\n", "\r\n") if name.startswith("crlf") else TEXT).encode(encoding))
        assert len(Scenario.named(str(path)).users) == 2
        assert Scenario.named(path) == Scenario.load(path)
    assert Scenario.named("demo") == Scenario.bundled("demo")
    with pytest.raises(InvalidInput, match="demo"):
        Scenario.named("dem")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    link = tmp_path / "zero.yaml"
    link.symlink_to("/dev/zero")
    for path, says in ((pipe, "named pipe"), (folder, "folder"), (link, "device"), (Path("/dev/zero"), "device")):
        with pytest.raises(InvalidInput, match=says):
            Scenario.load(path)
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: x\nmodel: M\xfcller\n")
    with pytest.raises(InvalidInput, match=r"Line 2 .*UTF-8"):
        Scenario.load(path)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("downlink: 20 MHz", "downlink: 20", "line 6: channel.downlink"),
        ("downlink: 20 MHz", "downlink: -1 Hz", "line 6: channel.downlink"),
        ("    deadline: 4 s", "    deadline: 4", "line 12: users.0.deadline"),
        ("    deadline: 4 s", "    private_steps: 40", "line 12: users.first.private_steps"),
        ("name: second", "name: first", "line 8: users"),
        ("name: second", "name: second\n    dealine: 3 s", "line 14: users.1.dealine"),
        ("name: second", "name: phone.1\n    private_steps: 30", "line 14: users.phone.1.private_steps"),
        ("downlink_efficiency: 3 bit/s/Hz", "downlink_efficiency: 3", "line 15: users.1.downlink_efficiency"),
    ],
)
def test_a_wrong_value_is_refused_with_file_line_and_field(old: str, new: str, place: str, tmp_path: Path) -> None:
    assert place in refused(TEXT.replace(old, new), tmp_path)


def test_a_mistyped_field_gets_the_nearest_name(tmp_path: Path) -> None:
    for wrong, near in (
        ("dealine", "deadline"),
        ("distanse", "distance"),
        ("downlink_eficiency", "downlink_efficiency"),
    ):
        assert f"Did you mean {near!r}?" in refused(TEXT.replace("    deadline: 4 s", f"    {wrong}: 4 s"), tmp_path)


@pytest.mark.parametrize("name", ["channel", "downlink", "users"])
def test_a_needed_field_that_is_mistyped_is_named_and_not_called_missing(name: str, tmp_path: Path) -> None:
    wrong = name[:-3] + name[-2:]
    message = refused(TEXT.replace(f"{name}:", f"{wrong}:"), tmp_path)
    assert wrong in message
    assert f"Did you mean {name!r}?" in message


# ---- names


@pytest.mark.parametrize(
    "name", ["Müller", "phone#1", "日本語", "J. O'Neil (2)", "a+b@cell", "x" * 60, "é" * 60, "नमस्ते"]
)
def test_names_that_people_have(name: str) -> None:
    assert Scenario.from_yaml(TEXT.replace("name: second", f'name: "{name}"')).users[1].name == name


def test_a_name_is_one_name_however_its_accents_are_stored(tmp_path: Path) -> None:
    assert Scenario.from_yaml(TEXT.replace("second", "Mu\u0308ller")).users[1].name == "M\u00fcller"
    both = TEXT.replace("second", "Mu\u0308ller").replace("first", "M\u00fcller")
    assert "unique" in refused(both, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "x" * 250,
        "x" * 200,
        "x" * 61,
        "a/b",
        "..",
        ".hidden",
        "a\\\\b",
        "a\\0b",
        "a\\nb",
        "a\\u202eb",
        "a\\x1b[2J",
        "$a$",
        " a",
        "",
        "a*",
        "<b>",
    ],
)
def test_names_that_no_file_or_figure_can_bear(name: str, tmp_path: Path) -> None:
    said = refused(TEXT.replace("name: second", f'name: "{name}"'), tmp_path)
    assert "line 13: users.1.name: found" in said
    assert "\x1b" not in said


def test_a_scenario_name_is_short_and_printable(tmp_path: Path) -> None:
    for name in ("x" * 121, '"a\\x1b[2J"', '"a\\nb"'):
        assert "line 1: name: found" in refused(f"name: {name}\n{TEXT}", tmp_path)


# ---- the same reader on the command line


@pytest.mark.parametrize("value", ["0x_", "yes", "2024-13-45", "1:30"])
def test_over_reads_as_a_scenario_file_does(value: str) -> None:
    assert read_over([f"name={value}"]) == {"name": [value]}


@pytest.mark.parametrize("value", ["!!int x", "9" * 5000, "[" * 2000, "*a", "{a: 1, a: 2}", "a: [", "&a [*a]"])
def test_over_refuses_what_a_scenario_file_does(value: str) -> None:
    with pytest.raises(InvalidInput, match="over") as caught:
        read_over([f"steps={value}"])
    assert len(str(caught.value)) < 500
