"""Answers to what a loader really gives: movie frames of a store under the paper's split and under one by segments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from poyodata.curation import load_diet
from poyodata.loaders import make_loader
from poyodata.models.evaluation import Movie, compare, judge, read_responses
from poyodata.models.tasks import TASKS
from poyodata.splits import SplitSpec
from poyodata.store import Store

MOVIE = "natural_movie_one"
SEGMENTS = SplitSpec.model_validate(
    {
        "name": "segments",
        "across": None,
        "within": {"kind": "movie-segments", "folds": 3, "segments": 3, "guard_s": 0.0},
    }
)


class Grey(nn.Module):
    """Answers with grey, whatever it is shown."""

    tasks = (TASKS["movie_pixels"],)
    neuron_ids: tuple[str, ...] = ()

    def __init__(self, session_ids: tuple[str, ...]) -> None:
        super().__init__()
        self.session_ids = session_ids
        self.one = nn.Parameter(torch.ones(1))

    def rows_of(self, neuron_ids: list[str], session_ids: list[str]) -> tuple[Tensor, Tensor]:
        return torch.arange(1 + len(neuron_ids)), torch.arange(len(session_ids))

    def forward(self, batch: dict[str, Tensor], tasks: tuple[str, ...]) -> dict[str, Tensor]:
        return {name: torch.full(batch["movie"].shape, 0.5) for name in tasks}


@pytest.mark.slow
@pytest.mark.parametrize(("split", "seen"), [("paper-trial", True), (SEGMENTS, False)], ids=["paper-trial", "segments"])
def test_what_was_seen_is_known_from_the_ids_of_the_loaders(
    tiny_store: Store, split: SplitSpec | str, seen: bool
) -> None:
    manifest = load_diet("all").during(f"stimulus == '{MOVIE}'").resolve(tiny_store, split=split)
    targets = {"movie": {"height": 12, "width": 24, "stimulus": MOVIE, "at": "centre"}, "movie_frame": {"at": "centre"}}
    train, test = (
        make_loader(tiny_store, manifest, role, mode="frames", batch_size=64, targets=targets, shuffle=False)
        for role in ("train", "test")
    )
    comparison = compare(Grey(tuple(test.session_ids)), train, test)
    frames = train.targets[0].frames
    donor = tiny_store.sessions.set_index("session_id")["donor_id"].astype(str).to_dict()
    result = judge(comparison, donor=donor, movie=Movie(frames, [0, 3, 6]), draws=100)
    assert result.all_test_frames_seen is seen
    assert ("were shown in training: it measures" in str(result)) is seen
    assert result.claims[0].refused
    oracle = result.row("ssim").beside["nearest_frame_oracle"]
    assert (oracle == pytest.approx(1.0, abs=1e-4)) is seen
    # Every row is about the very frame of the recording that the loader's window shows.
    asked = read_responses((dict(b) for b in test.arrays()), TASKS["movie_pixels"], test.session_ids)
    assert sum(len(one) for one in asked.values()) == len(comparison.answers)
    for one in asked.values():
        assert one.shown is not None
        np.testing.assert_array_equal(one.target, frames[one.shown])
