"""Traces of kept and rejected neurons: who is drawn, from which time, on which scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poyodata.curation import Diet, Manifest, load_diet
from poyodata.datasheet import draw_sample, write_sample
from poyodata.datasheet.sample import _choose, _cut
from poyodata.datasheet.subject import Subject
from poyodata.drawing import BLUE, VERMILION
from poyodata.errors import UsageError
from poyodata.splits import resolve_split
from poyodata.store import Store


def texts(manifest: Manifest, store: Store, **options: object) -> str:
    figure = draw_sample(manifest, store, **options)  # type: ignore[arg-type]
    (ax,) = figure.axes
    return "\n".join([ax.get_title(loc="left"), *(text.get_text() for text in ax.texts)])


def drawn(manifest: Manifest, store: Store, n: int, seed: int = 0) -> list[list[str]]:
    return [part["neuron_id"].tolist() for part in _choose(Subject(manifest, store), n, seed)]


def test_kept_and_rejected_are_of_one_recording_and_named_with_their_values(
    predictable: Manifest, opened: Store
) -> None:
    kept, rejected = drawn(predictable, opened, 2)
    known = predictable.population.set_index("neuron_id")
    assert set(known.loc[kept, "answer"]) == {"kept"}
    assert set(known.loc[rejected, "answer"]) == {"rejected"}
    assert known.loc[[*kept, *rejected], "session_id"].nunique() == 1
    said = texts(predictable, opened, n=2)
    for neuron in (*kept, *rejected):
        row = known.loc[neuron]
        assert f"{neuron}\nskewness {row['skewness']:.3g}  kurtosis {row['kurtosis']:.3g}" in said
    assert "skewness <= 1.2 and kurtosis <= 4.0" in said
    assert "% dF/F" in said
    assert "train-role time" in said


def test_the_choice_is_nested_and_follows_the_seed(predictable: Manifest, opened: Store) -> None:
    few, many = drawn(predictable, opened, 1), drawn(predictable, opened, 3)
    assert [more[:1] for more in many] == few
    assert drawn(predictable, opened, 2) == drawn(predictable, opened, 2)
    assert any(drawn(predictable, opened, 2, seed) != drawn(predictable, opened, 2) for seed in (1, 2, 3))


def test_only_train_role_time_is_drawn(predictable: Manifest, opened: Store) -> None:
    subject = Subject(predictable, opened)
    split = resolve_split(opened, "blocks-5fold")
    for stretch in _cut(subject, _choose(subject, 2, 0), 60.0):
        rate_hz = opened.sessions.set_index("session_id").loc[stretch.session_id, "rate_hz"]
        start = round(stretch.start_s * rate_hz)
        seen = np.zeros(start + stretch.dff.shape[1], bool)
        for first, last in split.train_time(stretch.session_id):
            seen[first:last] = True
        assert np.array_equal(np.isfinite(stretch.dff).any(axis=0), seen[start:])
        assert seen[start:].any()


def test_a_rule_of_whole_recordings_draws_one_of_each(opened: Store) -> None:
    manifest = Diet.where("cre_line == 'Sst-IRES-Cre'", name="sst").resolve(opened)
    kept, rejected = drawn(manifest, opened, 2)
    assert kept[0].split("_")[0] != rejected[0].split("_")[0]
    said = texts(manifest, opened, n=2)
    assert "cre_line Sst-IRES-Cre" in said
    assert said.count("recording 9") == 2


def test_where_nothing_is_rejected_it_says_so(opened: Store) -> None:
    said = texts(load_diet("all").resolve(opened), opened, n=1)
    assert "no neuron is rejected" in said
    assert "skewness" in said


def test_long_names_and_rules_are_wrapped_and_shortened(opened: Store) -> None:
    rule = " or ".join(f"(cre_line == 'Sst-IRES-Cre' and depth_um < {depth})" for depth in range(400, 460))
    manifest = Diet.where(rule, name="n" * 100).resolve(opened)
    # A warning is an error here: matplotlib's of a layout without room among them.
    figure = draw_sample(manifest, opened, 1, seconds=5)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    title = ax.get_title(loc="left")
    assert max(map(len, title.splitlines())) <= 105
    assert len(title) < 700
    drawn = ax._left_title.get_window_extent()  # type: ignore[attr-defined]
    assert drawn.x1 <= figure.bbox.x1
    assert ax.get_position().width > 0.5


def test_the_column_that_decides_is_written_beside_the_first_three(opened: Store) -> None:
    rule = "skewness > -9 and kurtosis > -9 and depth_um > 0 and noise_std <= quantile(noise_std, 0.5)"
    manifest = Diet.where(rule, name="fourth").resolve(opened)
    known = manifest.population.set_index("neuron_id")
    kept, rejected = drawn(manifest, opened, 2)
    said = texts(manifest, opened, n=2, seconds=5)
    for neuron in rejected:
        assert known.loc[neuron, "decided_by"] == "neurons.where[3]"
        assert f"noise_std {known.loc[neuron, 'noise_std']:.3g}" in said
    for neuron in kept:
        assert f"noise_std {known.loc[neuron, 'noise_std']:.3g}" not in said


def test_it_says_where_fewer_are_drawn_than_were_asked_for(predictable: Manifest, opened: Store) -> None:
    kept, rejected = drawn(predictable, opened, 40)
    said = " ".join(texts(predictable, opened, n=40, seconds=5).split())
    assert f"{len(kept)} kept of 40 asked for and {len(rejected)} rejected of 40 asked for" in said
    assert "asked for" not in texts(predictable, opened, n=1, seconds=5)


def test_the_scale_bar_is_long_enough_to_be_read(predictable: Manifest, opened: Store) -> None:
    (ax,) = draw_sample(predictable, opened, 40, seconds=5).axes
    _, foot, top = ax.lines[-1].get_ydata()
    traces = [line.get_ydata() for line in ax.lines[:-1]]
    # Under the traces, and no less than a hundredth of the picture's height.
    assert top <= min(np.nanmin(trace) for trace in traces)
    assert top - foot >= 0.01 * np.ptp(ax.get_ylim())
    assert not ax.lines[-1].get_clip_on()


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_it_is_written_the_same_every_time(ending: str, predictable: Manifest, opened: Store, tmp_path: Path) -> None:
    files = [write_sample(predictable, opened, tmp_path / f"{name}{ending}", n=1, seconds=5) for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    if ending == ".svg":
        text = files[0].read_text()
        assert BLUE in text
        assert VERMILION in text


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        pytest.param("a.pdf", {}, "ends in .pdf", id="ending"),
        pytest.param("a.svg", {"n": 0}, "1 to 40", id="none"),
        pytest.param("a.svg", {"seconds": 0.1}, "1 to 3600", id="short"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    path: str, options: dict[str, float], message: str, predictable: Manifest, opened: Store, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        write_sample(predictable, opened, tmp_path / path, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
