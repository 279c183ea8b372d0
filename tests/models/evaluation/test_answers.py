"""A model's answers in trial, fixed and one-frame windows: what each is about, and the baselines beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.evaluation import Seen, answer, compare, evaluate, judge, read_responses
from poyodata.models.evaluation.labels import labels_of
from poyodata.models.poyo import PoyoPlus
from poyodata.models.tasks import TASKS, Task

RUNNING_AT_FRAMES = replace(TASKS["running"], at="frames")


class Stub(nn.Module):
    """In the place of a model: what it answers is a given function of the batch."""

    neuron_ids, session_ids = tuple(f"a:{i}" for i in range(3)), ("a", "b")

    def __init__(self, task: Task, says: Callable[[dict[str, Tensor]], Tensor]) -> None:
        super().__init__()
        self.tasks, self.says = (task,), says
        self.one = nn.Parameter(torch.ones(1))

    def rows_of(self, neuron_ids: Any, session_ids: Any) -> tuple[Tensor, Tensor]:
        return torch.arange(4), torch.tensor([self.session_ids.index(name) for name in session_ids])

    def forward(self, batch: dict[str, Tensor], tasks: Iterable[str]) -> dict[str, Tensor]:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        return {name: self.says(batch) for name in tasks}


def windows(start: list[int], length: int, **columns: Any) -> dict[str, Tensor]:
    n = len(start)
    first = torch.tensor(start)
    values = (first[:, None] + torch.arange(length))[:, None].expand(-1, 3, -1).float()
    return {
        "values": values + torch.arange(3)[:, None],  # neuron i at frame f: f + i
        "neuron_index": torch.arange(1, 4).repeat(n, 1),
        "neuron_mask": torch.ones(n, 3, dtype=torch.bool),
        "session_index": torch.zeros(n, dtype=torch.int64),
        "trial": torch.full((n,), -1),
        "start_frame": first,
    } | {name: torch.as_tensor(value) for name, value in columns.items()}


def _one_hot(column: str, n: int) -> Callable[[dict[str, Tensor]], Tensor]:
    return lambda batch: nn.functional.one_hot(batch[column].clamp(min=0), n).float()


# -- classes ---------------------------------------------------------------------------------------------------------


def test_trials_are_answered_once_however_many_windows_they_have() -> None:
    batch = windows([0, 4, 100], 10, trial=[3, 3, 5], direction=[1, 1, 2], guess=[1, 6, 2])
    found = answer(Stub(TASKS["direction"], _one_hot("guess", 8)), [batch])
    assert [tuple(key) for key in found.keys] == [("a", "trial", 3), ("a", "trial", 5)]
    assert found.output[0].tolist() == [0, 0.5, 0, 0, 0, 0, 0.5, 0]
    rows = evaluate(Stub(TASKS["direction"], _one_hot("guess", 8)), [batch], task="direction")
    assert rows[["trial", "start_frame", "target", "prediction"]].values.tolist() == [
        [3, 0, 1, 1],
        [3, 4, 1, 6],
        [5, 100, 2, 2],
    ]


def test_blank_sweeps_and_grey_have_no_row() -> None:
    batch = windows([0, 4, 8], 10, trial=[0, 1, 2], direction=[1, -1, 2], direction_blank=[False, False, True])
    assert len(answer(Stub(TASKS["direction"], _one_hot("direction", 8)), [batch])) == 1


def test_fixed_windows_without_a_trial_are_about_their_middle_frame() -> None:
    batch = windows([0, 5, 10], 10, direction=[1, 1, 2])
    found = answer(Stub(TASKS["direction"], _one_hot("direction", 8)), [batch])
    assert [tuple(key) for key in found.keys] == [("a", "frame", 5), ("a", "frame", 10), ("a", "frame", 15)]


def test_one_frame_windows_know_which_movie_frame_was_shown() -> None:
    batch = windows([7, 8, 9], 1, movie_frame=[700, -1, 702])
    found = answer(Stub(TASKS["movie_frame"], _one_hot("movie_frame", 900)), [batch])
    assert found.frame.tolist() == [7, 9]
    assert found.shown is not None
    assert found.shown.tolist() == found.target.tolist() == found.prediction.tolist() == [700, 702]


# -- values ----------------------------------------------------------------------------------------------------------


def test_values_come_in_the_units_of_the_target() -> None:
    task = TASKS["running"]
    batch = windows([0, 5], 10, trial=[0, 0], running=[3.0, float("nan")])
    found = answer(Stub(task, lambda b: torch.full((len(b["values"]), 1), 2.0)), [batch])
    assert found.output.tolist() == [[pytest.approx(2 * task.std[0] + task.mean[0])]]
    assert [tuple(key) for key in found.keys] == [("a", "frame", 5)]
    # The window's trial is shown in the table all the same.
    rows = evaluate(Stub(task, lambda b: torch.full((len(b["values"]), 1), 2.0)), [batch])
    assert rows[["trial", "start_frame", "target"]].values.tolist() == [[0, 0, 3.0]]


def test_answers_at_frames_are_stitched_by_imaging_frame() -> None:
    task = replace(RUNNING_AT_FRAMES, mean=(), std=())
    speed = torch.arange(40.0)
    batch = windows([10, 12], 4, trial=[1, 1], running=[speed[10:14].tolist(), speed[12:16].tolist()])
    batch["running"][0, 0] = float("nan")
    offset = torch.tensor([0.0, 1.0])
    found = answer(Stub(task, lambda b: (b["running"].nan_to_num() + offset[:, None])[..., None]), [batch])
    assert found.frame.tolist() == [11, 12, 13, 14, 15]
    assert found.target[:, 0].tolist() == [11, 12, 13, 14, 15]
    assert found.output[:, 0].tolist() == [11, 12.5, 13.5, 15, 16]


def test_values_of_two_numbers_have_two_columns() -> None:
    task = TASKS["gaze"]
    batch = windows([0, 5], 10, **{name: [1.0, 2.0] for name in task.columns})
    rows = evaluate(Stub(task, lambda b: torch.zeros(2, 2)), [batch])
    assert rows.columns[3:].tolist() == ["target_0", "target_1", "prediction_0", "prediction_1"]


# -- pictures --------------------------------------------------------------------------------------------------------


def test_pictures_are_stitched_and_know_their_frame() -> None:
    movie = torch.rand(9, 12, 16, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([4, 4, 2, -1])
    batch = windows([0, 0, 30, 60], 1, movie_frame=ids, movie=movie[ids.clamp(min=0)])
    batch["movie"][3] = float("nan")
    found = answer(Stub(TASKS["movie_pixels"], lambda b: 1 - b["movie"].nan_to_num()), [batch])
    assert found.shown is not None
    assert found.shown.tolist() == [4, 2]
    np.testing.assert_allclose(found.output, 1 - movie[[4, 2]].numpy())
    with pytest.raises(ModelError, match="take `answer`"):
        evaluate(Stub(TASKS["movie_pixels"], lambda b: b["movie"]), [batch])


def test_a_model_reconstructs_pictures_beside_every_baseline() -> None:
    config = PoyoConfig.named(
        "poyo-tiny", window_frames=1, rate_hz=30.0, patch_frames=1, tasks=("movie_pixels",), depth=1
    )
    model = PoyoPlus(config, Stub.neuron_ids, ["a"])
    movie = torch.rand(12, *config.image_size, generator=torch.Generator().manual_seed(0))

    def loader(ids: list[int]) -> list[dict[str, Tensor]]:
        return [windows([30 * i for i in ids], 1, trial=ids, movie_frame=ids, movie=movie[ids])]

    comparison = compare(model, loader([0, 1, 2, 3, 4, 5]), loader([5, 6, 7]))
    result = judge(comparison, donor={"a": "m"}, draws=50)
    assert comparison.baselines[0].name == "chance"
    assert result.seen is not None
    assert (result.seen.n_seen, result.seen.n_test) == (1, 3)
    assert result.row("ssim").beside["nearest_frame_oracle"] > result.row("ssim").value
    # Pictures of earlier stages count as seen; where those are not known, it is not known what was seen.
    earlier = compare(model, loader([0, 1, 2, 3, 4, 5]), loader([5, 6, 7]), also_shown=[6])
    assert judge(earlier, draws=50).seen == Seen(3, 2)
    unknown = judge(compare(model, loader([0, 1, 2, 3]), loader([5, 6, 7]), also_shown=None), draws=50)
    assert unknown.seen is None
    assert all("not known which pictures" in claim.refused for claim in unknown.claims)
    assert judge(compare(model, loader([5, 6, 7]), loader([5, 6, 7]), also_shown=None), draws=50).seen == Seen(3, 3)


# -- baselines on the same windows -----------------------------------------------------------------------------------


class Named(list[dict[str, Tensor]]):
    """A loader that names its recordings, in another order than the model, and counts its epochs."""

    session_ids, neuron_ids = ("b", "a"), ("a:0", "a:1", "a:2")
    epochs: list[int]

    def set_epoch(self, epoch: int) -> None:
        self.epochs = [*getattr(self, "epochs", []), epoch]


def test_features_are_window_means_or_parts_of_them() -> None:
    batch = windows([10, 20], 4, direction=[1, 2], trial=[0, 1])
    (found,) = read_responses([batch], TASKS["direction"], ["a"]).values()
    assert found.features.tolist() == [[11.5, 12.5, 13.5], [21.5, 22.5, 23.5]]
    (found,) = read_responses([batch], TASKS["direction"], ["a"], bins=2).values()
    assert found.features[0].tolist() == [10.5, 11.5, 12.5, 12.5, 13.5, 14.5]
    batch["running"] = torch.zeros(2, 4)
    (found,) = read_responses([batch], RUNNING_AT_FRAMES, ["a"]).values()
    assert found.features[:, 0].tolist() == [10, 11, 12, 13, 20, 21, 22, 23]


def test_neurons_are_put_in_one_order() -> None:
    batch = windows([10, 20], 4, direction=[1, 2], trial=[0, 1])
    batch["neuron_index"][1] = torch.tensor([3, 1, 2])
    (found,) = read_responses([batch], TASKS["direction"], ["a"]).values()
    rows = found.features[np.argsort(found.trial)]
    assert rows.tolist() == [[11.5, 12.5, 13.5], [22.5, 23.5, 21.5]]


def test_comparison_is_on_the_models_windows_and_names() -> None:
    rng = np.random.default_rng(0)

    def loader(first: int, n: int = 24) -> Named:
        direction = np.arange(n) % 4
        batch = windows([50 * i for i in range(n)], 6, trial=first + np.arange(n), direction=direction)
        batch["values"] = torch.from_numpy(
            (np.eye(4)[direction][:, :3, None] + 0.1 * rng.standard_normal((n, 3, 6))).astype(np.float32)
        )
        batch["session_index"] = torch.from_numpy(np.arange(n) // (n // 2))
        return Named([batch])

    test = loader(100)
    comparison = compare(Stub(TASKS["direction"], _one_hot("direction", 8)), loader(0), test)
    assert test.epochs == [0, 0]
    result = judge(comparison, donor={"a": "m", "b": "n"})
    (note,) = comparison.notes
    assert note in result.sentences
    assert note.endswith("which training windows chose among 1, 2, 4, 8 and 16.")
    given = compare(Stub(TASKS["direction"], _one_hot("direction", 8)), loader(0), test, bins=3)
    assert given.notes == ("direction: the decoders beside the model read the means of 3 parts of each window.",)
    test.epochs = [0, 0]
    assert result.row("accuracy").value == 1.0
    assert result.row("accuracy").beside["linear"] > 0.9
    assert [row.group for row in result.rows[2:4]] == ["a", "b"]
    assert comparison.answers.session_id[0] == "a"
    assert (comparison.answers.trial[:12] >= 112).all()  # of loader row 1, which the loader calls "a"


class Numbered(list[dict[str, Tensor]]):
    """A loader that names its neurons."""

    session_ids = ("a",)

    def __init__(self, batch: dict[str, Tensor], neuron_ids: tuple[str, ...]) -> None:
        super().__init__([batch])
        self.neuron_ids = neuron_ids


class Rows(Stub):
    """Knows its neurons by name."""

    neuron_ids = ("a:0", "a:1", "a:2", "a:9")

    def rows_of(self, neuron_ids: Any, session_ids: Any) -> tuple[Tensor, Tensor]:
        rows = [1 + self.neuron_ids.index(name) for name in neuron_ids]
        return torch.tensor([0, *rows]), torch.tensor([self.session_ids.index(name) for name in session_ids])


def test_neurons_that_two_loaders_number_otherwise_are_the_same() -> None:
    rng = np.random.default_rng(0)
    names = ("a:0", "a:1", "a:2")

    def loader(first: int, order: list[int], called: tuple[str, ...] = names) -> Numbered:
        direction = np.arange(24) % 3
        batch = windows([50 * i for i in range(24)], 6, trial=first + np.arange(24), direction=direction)
        values = np.eye(3)[direction][:, :, None] + 0.1 * rng.standard_normal((24, 3, 6))
        batch["values"] = torch.from_numpy(values[:, order].astype(np.float32))
        return Numbered(batch, tuple(called[i] for i in order))

    model = Rows(TASKS["direction"], _one_hot("direction", 8))
    for order in ([0, 1, 2], [2, 0, 1]):
        comparison = compare(model, loader(0, [0, 1, 2]), loader(100, order), bins=1)
        for baseline in comparison.baselines:
            assert (baseline.answers.prediction == baseline.answers.target).mean() > 0.9
    with pytest.raises(ModelError, match="3 neurons in training and 3 in the test, 2 of them the same"):
        compare(model, loader(0, [0, 1, 2]), loader(100, [0, 1, 2], ("a:0", "a:1", "a:9")), bins=1)


def test_windows_without_a_mask_hold_all_their_neurons() -> None:
    batch = windows([10, 20], 4, direction=[1, 2], trial=[0, 1])
    (whole,) = read_responses([batch], TASKS["direction"], ["a"]).values()
    del batch["neuron_mask"]
    (found,) = read_responses([batch], TASKS["direction"], ["a"]).values()
    np.testing.assert_array_equal(found.features, whole.features)


@pytest.mark.parametrize("new", [False, True], ids=["all-shown", "new"])
def test_why_frames_are_named_beside_no_linear_decoder_is_said(new: bool) -> None:
    def loader(ids: list[int]) -> list[dict[str, Tensor]]:
        return [windows([30 * i for i in range(len(ids))], 1, movie_frame=ids)]

    model = Stub(TASKS["movie_frame"], _one_hot("movie_frame", 900))
    comparison = compare(model, loader([0, 1, 2, 0, 1, 2]), loader([0, 1, 5 if new else 2]))
    assert [one.name for one in comparison.baselines] == ["linear", "nearest_response"][new:]
    assert any("no linear decoder of frames' ids" in note for note in comparison.notes) is new


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda b: b.pop("direction"), "no window of the loader has a direction", id="no-column"),
        pytest.param(lambda b: b.update(direction=torch.full((2, 10), 1)), "expected 1 dimensions", id="every-frame"),
        pytest.param(lambda b: b.pop("start_frame"), "no 'start_frame'", id="no-start"),
        pytest.param(lambda b: b.pop("values"), "dense layout", id="tokens"),
    ],
)
def test_batches_that_cannot_be_judged(change: Callable[[dict[str, Tensor]], Any], said: str) -> None:
    batch = windows([0, 5], 10, direction=[1, 2])
    change(batch)
    with pytest.raises(ModelError, match=said):
        answer(Stub(TASKS["direction"], lambda b: torch.zeros(2, 8)), [batch])


def test_wrong_use() -> None:
    batch = windows([0, 5], 10, direction=[1, 2])
    model = Stub(TASKS["direction"], lambda b: torch.zeros(2, 8))
    with pytest.raises(ModelError, match="the model has no task 'runing'"):
        answer(model, [batch], "runing")
    with pytest.raises(ModelError, match="bins=11"):
        read_responses([batch], TASKS["direction"], ["a"], bins=11)
    with pytest.raises(ModelError, match="give session_ids"):
        read_responses([batch], TASKS["direction"])
    with pytest.raises(ModelError, match="no window of the loader has running"):
        read_responses([batch], TASKS["running"], ["a"])
    batch["neuron_mask"][1, 0] = False
    with pytest.raises(ModelError, match="has 3 neurons, and some of its windows hold 2"):
        read_responses([batch], TASKS["direction"], ["a"])
    assert labels_of(batch, TASKS["running"]) is None


def test_a_model_in_training_is_given_back_in_training() -> None:
    def fails(_: dict[str, Tensor]) -> Tensor:
        raise RuntimeError("out of memory")

    model = Stub(TASKS["direction"], fails).train()
    with pytest.raises(RuntimeError):
        answer(model, [windows([0], 10, direction=[1])])
    assert model.training
