"""Plans with a quality floor: the committed rows keep it on scenes of their own, and the page says what they say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import quality_floors as floors

SETTINGS = list(floors.SETTINGS)
DRAWN = SETTINGS[int(np.random.default_rng(13).integers(len(SETTINGS)))]
"""The tenth of the list that is planned anew here."""


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(floors.RESULTS.read_text(encoding="utf-8"))
    return found


def test_the_mean_is_above_the_floor_for_every_user_in_every_setting(kept: dict[str, Any]) -> None:
    assert list(kept["settings"]) == SETTINGS
    assert kept["scenes"] >= 50
    for name, entry in kept["settings"].items():
        assert len(entry["rows"]) == len(entry["users"]), name
        for row in entry["rows"]:
            assert all(figure["above"] for figure in row["figures"].values()), (name, row)


def test_each_floor_closes_a_third_of_the_options_by_measurement_and_changes_the_plan(kept: dict[str, Any]) -> None:
    for name, entry in kept["settings"].items():
        assert np.divide(entry["below"], entry["open"]).min() >= 1 / 3, name
        assert entry["changed"] >= 1, name


def test_the_page_is_that_of_the_rows(kept: dict[str, Any]) -> None:
    assert floors.RESULTS.with_suffix(".md").read_text(encoding="utf-8") == floors.page(kept)


def test_the_plan_of_a_setting_is_the_committed_one(kept: dict[str, Any]) -> None:
    entry, made = kept["settings"][DRAWN], floors.planned(DRAWN)
    assert [user.option.name for user in made.users] == entry["users"]
    assert made.objective_s == pytest.approx(entry["objective_s"], rel=1e-6)
    found = floors.closed(made, floors.planned(DRAWN, floor=False))
    assert found == {key: entry[key] for key in found}


def test_pictures_of_an_option_have_the_committed_figures_again(kept: dict[str, Any]) -> None:
    made = floors.planned(DRAWN)
    k = next(k for k, user in enumerate(made.users) if user.option.precision not in ("", "fp32"))
    option = made.users[k].option
    _, singles = floors.Check(2).row(option, made.scenario, k)
    before = kept["options"][floors.key_of(option, made.scenario, k)]["singles"]
    for again, one in zip(singles, before, strict=False):
        assert again["psnr_db"] == pytest.approx(one["psnr_db"], abs=1.0)
        assert again["read"] == one["read"]
