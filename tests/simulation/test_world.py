from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poyodata.errors import UsageError
from poyodata.simulation import WORLDS, World, load_world
from poyodata.simulation.census import recording
from poyodata.vocabulary import CRE_LINES


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_yaml_round_trip(name: str, tmp_path: Path) -> None:
    world = load_world(name)
    assert World.from_yaml(world.to_yaml()) == world
    path = tmp_path / "world.yaml"
    path.write_text(world.to_yaml())
    assert load_world(path).digest() == world.digest()
    assert all(field in world.to_yaml() for field in World.model_fields)


def test_demo_has_every_line_once() -> None:
    demo = load_world("demo")
    assert [recording(demo, index).line for index in range(demo.sessions)] == list(CRE_LINES)
    assert sum(demo.trials_per_block) >= 192


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"sessions": 0}, "sessions: .* 1 .*got 0", id="no_session"),
        pytest.param({"neurons": 0}, "neurons: ", id="no_neuron"),
        pytest.param(
            {"neurons_by_line": {"Sst-IRES-Cre": 0}}, "neurons_by_line: .*Sst-IRES-Cre", id="no_neuron_in_a_line"
        ),
        pytest.param(
            {"neurons_by_line": {"Sts": 3}}, "neurons_by_line: unknown CRE line 'Sts'", id="count_for_unknown_line"
        ),
        pytest.param({"event_rate_scale": -1.0}, "event_rate_scale: .*got -1.0", id="negative_rate"),
        pytest.param({"noise_scale": -0.1}, "noise_scale", id="negative_noise"),
        pytest.param(
            {"frame_rate_hz": (30.0, 10.0)},
            "frame_rate_hz must be a range between 5 and 200, got 30.0 to 10.0",
            id="rates_fall",
        ),
        pytest.param(
            {"lines": ("Cux2-CreERT",)},
            "lines: unknown CRE line 'Cux2-CreERT': did you mean 'Cux2-CreERT2'",
            id="unknown_line",
        ),
        pytest.param({"lines": ()}, "lines: at least one", id="no_line"),
        pytest.param({"areas": ("V1",)}, "areas: unknown visual area 'V1'", id="unknown_area"),
        pytest.param({"trials_per_block": (10, 0)}, "trials_per_block: every", id="empty_block"),
        pytest.param({"spontaneous_s": float("-1")}, "spontaneous_s", id="negative_time"),
        pytest.param({"movie_frames": 0}, "movie_frames", id="no_movie_frame"),
        pytest.param({"sesions": 3}, "unknown field 'sesions': did you mean 'sessions'", id="unknown_field"),
        pytest.param({"seed": -1}, "seed", id="negative_seed"),
        pytest.param(
            {"session_types": ("A", "D")}, "session_types: unknown session type 'D': known are A, B", id="session_type"
        ),
        pytest.param({"session_types": ("A", "A")}, "session_types: .*no type twice", id="a_type_twice"),
        pytest.param({"census": "alen"}, "census: .*'turns' or 'allen'", id="census"),
        pytest.param(
            {"census": "allen", "sessions": 507}, "506 containers, hence 506 recordings, got 507", id="too_many"
        ),
        pytest.param({"cell_overlap": 0.0}, "cell_overlap", id="no_overlap"),
        pytest.param(
            {"tuning_by_kind": {"burst": 1.0}}, "unknown kind of neuron 'burst': did you mean 'bursty'", id="kind"
        ),
        pytest.param({"tuning_by_kind": {"bursty": -1.0}}, "from 0 to 100, got -1.0 for bursty", id="negative_tuning"),
        pytest.param({"templates": "outside"}, "templates: .*'inside' or 'linked'", id="templates"),
        pytest.param({"invalid_share": 0.9}, "invalid_share", id="all_invalid"),
        pytest.param({"scenes_per_block": ()}, "scenes_per_block: every", id="no_scenes"),
        pytest.param({"movie_repeats": 10**9}, "movie_repeats: .*1000", id="endless_movie"),
        pytest.param({"sessions": 10**9}, "sessions: .*100000", id="endless_sessions"),
        pytest.param({"trials_per_block": (10**9,)}, "at most 50000 trials", id="endless_gratings"),
        pytest.param({"neurons_by_line": {"Sst-IRES-Cre": 10**6}}, "1 to 5000 neurons", id="million_neurons"),
        pytest.param({"lead_s": float("nan")}, "lead_s: .*finite", id="nan"),
        pytest.param({"frame_rate_hz": (0.5, 1.0)}, "between 5 and 200", id="slow"),
        pytest.param({"eye_tracking_share": 1.5}, "eye_tracking_share", id="more_than_all"),
    ],
)
def test_worlds_that_cannot_exist(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"world 'tiny': .*{message}"):
        load_world("tiny").replace(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a", "must hold keys"), ("name: [", "is not YAML"), ("sessions: 3", "name: Field required")],
)
def test_bad_yaml(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        World.from_yaml(text)


def test_lines_take_any_spelling() -> None:
    assert load_world("tiny").replace(lines=("SST_IRES_CRE",)).lines == ("Sst-IRES-Cre",)


def test_world_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(UsageError, match="is not a text file in UTF-8"):
        load_world(path)
