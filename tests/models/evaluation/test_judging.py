"""Results: metrics beside chance and baselines, what may be claimed, and what the result says of itself."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.errors import ModelError
from poyodata.models.evaluation import (
    Answers,
    Baseline,
    Comparison,
    Movie,
    Result,
    Row,
    accuracy,
    judge,
    mark_seen,
    pool,
    ssim,
    wilson_interval,
)
from poyodata.models.evaluation.baselines import make_baselines
from poyodata.models.evaluation.metrics import guess_of
from poyodata.models.evaluation.verdict import metric_sentence
from tests.models.evaluation.worlds import STARTS, movie, responses

DONORS = {"r": "m", "q": "n", "p": "n"}


def directions(n: int = 120, right: float = 0.7, seed: int = 0, sessions: tuple[str, ...] = ("r", "q", "p")) -> Answers:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 8
    named = np.where(rng.random(n) < right, target, rng.integers(0, 8, n))
    session = np.array(sessions)[np.arange(n) % len(sessions)]
    return Answers.of_classes("direction", session, np.arange(n), prediction=named, target=target, n_classes=8)


def pictures(
    train: np.ndarray, test: np.ndarray, *, noise: float = 0.0, sessions: tuple[str, ...] = ("r",), seed: int = 1
) -> Comparison:
    """A model that answers with the true picture in `noise`, and every baseline on responses in much noise."""
    known = responses(train, sessions=sessions, noise=0.5)
    asked = responses(test, sessions=sessions, seed=seed, noise=0.5)
    rng = np.random.default_rng(seed)
    baselines = make_baselines(known, asked)
    model = baselines[0].answers
    output = np.clip(model.target + noise * rng.standard_normal(model.target.shape), 0, 1).astype(np.float32)
    return Comparison(mark_seen(replace(model, output=output), train), baselines)


def folds(n_folds: int = 3, **options: float) -> Comparison:
    """Every segment held out once, by folds of neighbouring segments."""
    block = np.arange(60) * n_folds // 60
    return pool(
        [
            pictures(np.tile(np.flatnonzero(block != fold), 2), np.flatnonzero(block == fold), seed=1 + fold, **options)
            for fold in range(n_folds)
        ]
    )


# -- classes ---------------------------------------------------------------------------------------------------------


def test_every_group_is_beside_chance_and_the_linear_decoder() -> None:
    answers, linear = directions(), directions(right=0.6, seed=1)
    result = judge(Comparison(answers, (Baseline("linear", linear),)), donor=DONORS)
    table = result.table
    assert table.columns.tolist() == ["metric", "group", "value", "low", "high", "n", "chance", "linear"]
    assert set(table["metric"]) == {"accuracy", "balanced_accuracy"}
    assert table.loc[table["metric"] == "accuracy", "group"].tolist() == ["pooled", "mean of recordings", "p", "q", "r"]
    for session in ("p", "q", "r"):
        mine = answers.session_id == session
        row = result.row("accuracy", session)
        assert row.value == pytest.approx(accuracy(answers.prediction[mine], answers.target[mine]))
        assert row.beside["linear"] == pytest.approx(accuracy(linear.prediction[mine], linear.target[mine]))
        assert (row.low, row.high) == wilson_interval(round(row.value * 40), 40)
    pooled = result.row("accuracy")
    assert pooled.value == pytest.approx(accuracy(answers.prediction, answers.target))
    assert result.row("accuracy", "mean of recordings").value == pytest.approx(table.iloc[2:5]["value"].mean())
    assert pooled.n == 120
    assert "2 donors, too few to be drawn again" in result.drawn
    assert pooled.beside["chance"] == 0.125
    (difference,) = result.differences
    assert difference.value == pytest.approx(pooled.value - pooled.beside["linear"])


@given(st.permutations(range(40)))
@settings(max_examples=10, deadline=None)
def test_order_of_rows_does_not_matter(order: list[int]) -> None:
    answers = directions(40)
    straight = judge(Comparison(answers), donor=DONORS, draws=50)
    assert judge(Comparison(answers.take(np.array(order))), donor=DONORS, draws=50) == straight


def test_windows_of_one_trial_count_once() -> None:
    answers = directions(40)
    twice = judge(Comparison(answers.take(np.repeat(np.arange(40), 3))), donor=DONORS, draws=50)
    assert twice == judge(Comparison(answers), donor=DONORS, draws=50)


@pytest.mark.parametrize("constant", range(3))
def test_a_constant_answer_scores_chance(constant: int) -> None:
    # In one recording every constant has the same balanced accuracy; in several there are better ones.
    answers = directions(81, sessions=("r",))
    named = np.eye(8)[np.full(81, constant)]
    result = judge(Comparison(replace(answers, output=named)), donor={"r": "m"})
    row = result.row("balanced_accuracy")
    assert row.value == pytest.approx(row.beside["chance"]) == 0.125
    row = result.row("accuracy")
    assert row.value <= row.beside["chance"]
    assert not any("above chance" in sentence for sentence in result.sentences)


def test_one_donor_is_judged_within_its_recordings_and_that_is_said() -> None:
    answers = directions(80, sessions=("r",))
    result = judge(Comparison(answers), donor={"r": "m"})
    row = result.row("accuracy")
    assert (row.low, row.high) == wilson_interval(round(row.value * 80), 80)
    assert "one donor: trials within the recording" in str(result)
    assert "nothing of other animals" in result.sentences[-1]


def test_donors_that_differ_widen_the_interval() -> None:
    sessions = tuple("abcdefghij")
    target = np.arange(400) % 8
    session = np.repeat(sessions, 40)
    named = np.where(np.isin(session, list("abcde")), target, (target + 1) % 8)
    answers = Answers.of_classes("direction", session, np.arange(400), prediction=named, target=target, n_classes=8)
    several = judge(Comparison(answers), donor={s: s for s in sessions}).row("accuracy")
    one = judge(Comparison(answers), donor=dict.fromkeys(sessions, "m")).row("accuracy")
    assert several.high - several.low > 4 * (one.high - one.low)


# -- values and frames -----------------------------------------------------------------------------------------------


def test_values_are_judged_by_r2_with_blocks_of_time() -> None:
    rng = np.random.default_rng(0)
    target = np.cumsum(rng.standard_normal(300))[:, None]
    answers = Answers(
        "running",
        "value",
        np.full(300, "r"),
        np.full(300, -1),
        np.arange(300),
        target,
        target + rng.normal(size=(300, 1)),
    )
    mean = Baseline("train_mean", replace(answers, output=np.full_like(target, target.mean())))
    result = judge(Comparison(answers, (mean,)), donor={"r": "m"})
    row = result.row("r2")
    assert row.value == pytest.approx(
        1 - ((answers.output - target) ** 2).sum() / ((target - target.mean()) ** 2).sum()
    )
    assert row.low < row.value < row.high
    assert (row.beside["chance"], row.beside["train_mean"]) == pytest.approx((0.0, 0.0))
    assert "20 blocks of neighbouring frames" in result.drawn


def test_frame_ids_are_judged_within_a_second() -> None:
    shown = np.arange(900)
    answers = Answers.of_classes(
        "movie_frame", np.full(900, "r"), shown, prediction=(shown + 20) % 900, target=shown, n_classes=900
    )
    result = judge(Comparison(answers))
    assert result.row("accuracy").value == 0.0
    assert result.row("within_1s").value == pytest.approx(880 / 900)
    assert result.row("within_1s").beside["chance"] == pytest.approx(61 / 900)
    assert judge(Comparison(answers), movie=Movie(rate_hz=15.0)).row("within_1s").value == 0.0


# -- pictures --------------------------------------------------------------------------------------------------------


def test_all_frames_seen_is_found_from_ids_and_said() -> None:
    result = judge(pictures(np.tile(np.arange(60), 2), np.arange(60), noise=0.05), movie=Movie(movie(), STARTS))
    assert result.all_test_frames_seen is True
    assert "All 60 pictures of this test were shown in training" in str(result)
    assert result.row("ssim").beside["nearest_frame_oracle"] == pytest.approx(1.0, abs=1e-5)
    assert not any(sentence.startswith("Beside") for sentence in result.sentences)
    for claim in (*result.claims, *result.differences):
        assert claim.refused == "60 of 60 pictures of the test were shown in training"
        assert np.isnan(claim.low)
        assert not claim.is_gain


def test_some_frames_seen_is_counted() -> None:
    result = judge(pictures(np.arange(0, 31), np.arange(30, 40)), movie=Movie(movie(), STARTS))
    assert result.seen is not None
    assert (result.seen.n_seen, result.seen.n_test, result.all_test_frames_seen) == (1, 10, False)
    assert "1 of the 10 pictures" in str(result)
    assert result.claims[0].refused == "1 of 10 pictures of the test were shown in training"


def test_gain_in_held_out_segments_is_over_the_better_fair_baseline() -> None:
    result = judge(folds(noise=0.01), movie=Movie(movie(), STARTS))
    assert result.all_test_frames_seen is False
    row, claim = result.row("ssim"), result.claims[0]
    fair = {name: value for name, value in row.beside.items() if name != "nearest_frame_oracle"}
    assert claim.over == max(fair, key=lambda name: fair[name])
    assert claim.value == pytest.approx(row.value - max(fair.values()))
    assert claim.low < claim.value < claim.high
    assert claim.drawn == "12 segments drawn again"
    assert claim.is_gain
    assert "a gain." in str(result)
    assert row.value == pytest.approx(float(np.mean(ssim(*_aligned_pixels(folds(noise=0.01))))))


def _aligned_pixels(comparison: Comparison) -> tuple[np.ndarray, np.ndarray]:
    return comparison.answers.output, comparison.answers.target


def test_a_model_that_only_repeats_the_mean_shows_no_gain() -> None:
    comparison = folds()
    mean = next(one for one in comparison.baselines if one.name == "train_mean")
    worse = Comparison(replace(comparison.answers, output=mean.answers.output), comparison.baselines)
    result = judge(worse, movie=Movie(movie(), STARTS))
    assert not any(claim.is_gain for claim in result.claims)
    assert not any("a gain." in sentence for sentence in result.sentences)


def test_fewer_than_8_segments_give_no_interval() -> None:
    result = judge(pictures(np.arange(0, 25), np.arange(25, 60)), movie=Movie(movie(), STARTS))
    assert result.all_test_frames_seen is False
    claim = result.claims[0]
    assert "7 segments" in claim.refused
    assert np.isnan([claim.low, claim.high]).all()
    assert "No gain in SSIM is claimed: the test holds 7 segments" in str(result)
    enough = judge(pictures(np.arange(0, 20), np.arange(20, 60)), movie=Movie(movie(), STARTS)).claims[0]
    assert not enough.refused
    assert np.isfinite([enough.low, enough.high]).all()


def test_donors_are_drawn_across_segments() -> None:
    comparison = pictures(np.arange(0, 20), np.arange(20, 60), sessions=("r", "q"), noise=0.02)
    result = judge(comparison, donor=DONORS, movie=Movie(movie(), STARTS))
    claim = result.claims[0]
    assert claim.drawn.startswith("8 segments, and 2 donors, too few to be drawn again")
    alone = judge(comparison, donor=dict.fromkeys(DONORS, "m"), movie=Movie(movie(), STARTS)).claims[0]
    assert claim.high - claim.low > 2 * (alone.high - alone.low)
    unknown = judge(comparison, movie=Movie(movie(), STARTS)).claims[0]
    assert "2 recordings whose donors are not known" in unknown.drawn


@pytest.mark.parametrize(
    ("starts", "drawn"),
    [
        pytest.param(np.arange(8) * 15, "one donor: 8 segments within", id="cuts-known"),
        pytest.param(None, "one donor: 10 blocks of neighbouring pictures", id="cuts-unknown"),
    ],
)
def test_repeats_of_few_pictures_show_no_difference_that_is_none(starts: np.ndarray | None, drawn: str) -> None:
    # Decoders that are equally good in the population of segments, each better in some of these eight.
    shown = np.tile(np.arange(120), 10)
    truth = np.random.default_rng(1).uniform(0.4, 0.6, (120, 8, 8))[shown]
    claimed, worlds = 0, 30
    for seed in range(worlds):
        rng = np.random.default_rng(seed)

        def answers(rng: np.random.Generator = rng) -> Answers:
            size = rng.uniform(0.05, 0.15, 8)[shown // 15, None, None]
            output = np.clip(truth + size * rng.standard_normal(truth.shape), 0, 1)
            who = np.full(len(shown), "r", dtype=object)
            frame = np.arange(len(shown))
            return Answers("movie_pixels", "image", who, np.full(len(shown), -1), frame, truth, output, shown)

        comparison = Comparison(mark_seen(answers(), [999]), (Baseline("linear", answers()),))
        result = judge(comparison, donor={"r": "m"}, movie=Movie(None, starts), draws=200, metrics=["psnr"])
        claimed += "no difference is shown" not in next(one for one in result.sentences if one.startswith("Beside"))
    assert claimed <= (0.15 if starts is not None else 0.3) * worlds
    assert result.drawn.startswith(drawn)


def test_an_interval_of_no_width_says_nothing_of_chance() -> None:
    for chance, high in ((0.6, 0.5), (0.4, 0.5), (0.4, 0.5 + 1e-15)):
        sentence = metric_sentence("x", Row("r2", "pooled", 0.5, 0.5, high, 9, {"chance": chance}))
        assert sentence == f"x: R^2 is 0.500 [0.500, 0.500] (n = 9), an interval of no width; chance is {chance:.3f}."
    shown = np.arange(300)
    wrong = Answers.of_classes(
        "movie_frame", np.full(300, "r"), shown, prediction=shown + 200, target=shown, n_classes=900
    )
    result = judge(Comparison(replace(wrong, shown=shown)), donor={"r": "m"}, draws=50)
    assert result.row("accuracy").high > 0.1
    assert not any("accuracy" in sentence and "below chance" in sentence for sentence in result.sentences)


def test_the_mean_of_recordings_is_as_sure_as_its_trials() -> None:
    answers = directions(120, right=1.0)
    for donor in ({"r": "1", "q": "2", "p": "3"}, dict.fromkeys("rqp", "m")):
        row = judge(Comparison(answers), donor=donor, draws=50).row("accuracy", "mean of recordings")
        assert (row.low, row.high) == pytest.approx(wilson_interval(120, 120))


def test_folds_of_frames_keep_the_baselines_that_all_have() -> None:
    shown = np.arange(40)
    known = Answers.of_classes("movie_frame", ["r"] * 40, shown, prediction=shown, target=shown, n_classes=80)
    new = Answers.of_classes("movie_frame", ["r"] * 40, shown + 40, prediction=shown, target=shown + 40, n_classes=80)
    whole = pool(
        [
            Comparison(known, (Baseline("linear", known), Baseline("nearest_response", known))),
            Comparison(new, (Baseline("nearest_response", new),), ("there is none",)),
        ]
    )
    assert [one.name for one in whole.baselines] == ["nearest_response"]
    assert whole.notes == ("there is none",)


def test_three_mice_show_no_difference_that_is_none() -> None:
    # Decoders that are equally good in the population of mice, each better in some of them.
    rng, claimed, worlds = np.random.default_rng(0), 0, 40
    session, target = np.repeat(["a", "b", "c"], 60), np.tile(np.arange(60) % 8, 3)

    def answers() -> Answers:
        right = rng.random(180) < np.repeat(0.7 + rng.normal(0, 0.08, 3), 60)
        named = np.where(right, target, (target + 1) % 8)
        return Answers.of_classes(
            "direction", session, np.tile(np.arange(60), 3), prediction=named, target=target, n_classes=8
        )

    for _ in range(worlds):
        result = judge(
            Comparison(answers(), (Baseline("linear", answers()),)), donor={"a": "1", "b": "2", "c": "3"}, draws=50
        )
        claimed += "no difference is shown" not in next(one for one in result.sentences if one.startswith("Beside"))
    assert claimed <= 0.1 * worlds


def test_folds_that_test_the_same_trials_are_refused() -> None:
    # The mean of four models' answers would be better than each of them.
    answers = directions(40)
    with pytest.raises(ModelError, match="40 trials or frames are tested in more than one fold, first trial"):
        pool([Comparison(answers), Comparison(answers)])
    split = [Comparison(answers.take(np.repeat(np.arange(start, start + 20), 2))) for start in (0, 20)]
    assert judge(pool(split), donor=DONORS, draws=50) == judge(Comparison(answers), donor=DONORS, draws=50)


def test_a_recording_without_a_value_has_no_part_in_the_mean() -> None:
    rng = np.random.default_rng(0)
    target = np.r_[rng.standard_normal(200), np.zeros(50)][:, None]
    session = np.repeat(["a", "b", "c"], [100, 100, 50])
    output = target + 0.1 * rng.standard_normal((250, 1))
    answers = Answers("running", "value", session, np.full(250, -1), np.arange(250), target, output)
    for donor in ({"a": "1", "b": "2", "c": "3"}, dict.fromkeys("abc", "1")):
        result = judge(Comparison(answers), donor=donor, draws=100)
        row = result.row("r2", "mean of recordings")
        assert row.n == 2
        assert row.value == pytest.approx(np.mean([result.row("r2", name).value for name in "ab"]))
        assert row.low <= row.value <= row.high
        assert np.isnan([result.row("r2", "c").low, result.row("r2", "c").high]).all()
    still = judge(Comparison(answers.take(np.arange(200, 250))), draws=100).row("r2")
    assert np.isnan([still.value, still.low, still.high]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"seen": None}, "not known which pictures were shown in training", id="training-unknown"),
        pytest.param({"starts": None}, "not known where the movie is cut", id="cuts-unknown"),
        pytest.param({"baselines": ()}, "no baseline that is no oracle", id="no-baseline"),
    ],
)
def test_no_claim_without_what_it_rests_on(change: dict[str, object], said: str) -> None:
    comparison = pictures(np.arange(0, 20), np.arange(20, 60))
    if "seen" in change:
        comparison = replace(comparison, answers=replace(comparison.answers, seen=None))
    if "baselines" in change:
        comparison = replace(comparison, baselines=())
    result = judge(comparison, movie=Movie(movie(), None if "starts" in change else STARTS))
    assert all(said in claim.refused for claim in result.claims)
    assert result.all_test_frames_seen is (None if "seen" in change else False)


def test_reconstructions_are_identified_among_the_movies_frames() -> None:
    comparison = pictures(np.arange(0, 20), np.arange(20, 60))
    result = judge(comparison, movie=Movie(movie(), STARTS, rate_hz=2.0))
    row = result.row("within_1s")
    assert row.value == 1.0
    assert row.beside["train_mean"] < 0.5
    assert {"chance", "linear", "train_mean", "nearest_response", "nearest_frame_oracle"} == set(row.beside)


# -- chance ----------------------------------------------------------------------------------------------------------


def constants(kind: str, n: int = 60, n_recordings: int = 10, *, better: float = 0.0) -> Answers:
    """One answer for each recording, the best there is; in a share of the trials (`better`) the true one."""
    rng = np.random.default_rng(0)
    who = np.repeat([f"r{at}" for at in range(n_recordings)], n)
    own = np.repeat(np.arange(n_recordings), n)
    number, known = np.tile(np.arange(n), n_recordings), rng.random(n * n_recordings) < better
    if kind == "value":
        target = 3.0 * own + rng.standard_normal(len(own))
        constant = np.repeat(target.reshape(-1, n).mean(axis=1), n)
        output = np.where(known, target, constant)
        return Answers("pupil", "value", who, np.full(len(own), -1), number, target[:, None], output[:, None])
    n_classes = 8 if kind == "class" else 900
    step = n_classes // n_recordings or 1
    target = np.where(rng.random(len(own)) < 0.5, own * step % n_classes, rng.integers(0, n_classes, len(own)))
    named = np.where(known, target, own * step % n_classes)
    task = "direction" if kind == "class" else "movie_frame"
    return Answers.of_classes(task, who, number, prediction=named, target=target, n_classes=n_classes)


@pytest.mark.parametrize(
    ("kind", "metric", "of_all"),
    [
        ("class", "accuracy", 0.2),
        ("class", "balanced_accuracy", 0.2),
        ("frame", "accuracy", 0.1),
        ("frame", "within_1s", 0.2),
        ("value", "r2", 0.0),
    ],
)
def test_one_answer_for_each_recording_is_chance(kind: str, metric: str, of_all: float) -> None:
    answers = constants(kind)
    names = np.unique(answers.session_id).tolist()
    donor = {name: name for name in names}
    result = judge(Comparison(answers), donor=donor, metrics=[metric], draws=300)
    row = result.row(metric)
    # Far above what one constant for all recordings reaches, and no decoding.
    assert row.low > of_all
    assert row.beside["chance"] - 0.02 < row.value <= row.beside["chance"] + 1e-12
    assert "not shown to differ from chance" in result.sentences[0]
    # Each recording is beside its own constant, and their mean beside the mean of those.
    alone = [judge(Comparison(answers.take(answers.session_id == name)), draws=50).row(metric) for name in names]
    assert [result.row(metric, name).beside["chance"] for name in names] == [one.beside["chance"] for one in alone]
    mean = result.row(metric, "mean of recordings").beside["chance"]
    assert mean == pytest.approx(np.mean([one.beside["chance"] for one in alone]))
    better = judge(Comparison(constants(kind, better=0.95)), donor=donor, metrics=[metric], draws=300)
    assert "above chance" in better.sentences[0]


def test_identified_pictures_have_a_chance_for_each_recording() -> None:
    # Each recording saw a part of the movie of its own.
    shown = np.r_[np.zeros(20, int), np.full(20, 40)]
    truth = movie()[shown]
    who, frame = np.repeat(["a", "b"], 20), np.arange(40)
    answers = Answers("movie_pixels", "image", who, np.full(40, -1), frame, truth, truth, shown)
    shown_of = Movie(movie(), STARTS, rate_hz=2.0)
    result = judge(Comparison(answers), movie=shown_of, metrics=["within_1s"], draws=50)
    assert result.row("within_1s").beside["chance"] == 1.0
    # Of the movie's 60 frames 3 lie near the first one, and 5 near the other.
    assert guess_of("within_1s", answers, shown_of) == pytest.approx((3 + 5) / 2 / 60)
    assert "not shown to differ" in result.sentences[0]


@pytest.mark.parametrize(
    ("low", "high", "guess", "said"),
    [
        pytest.param(0.18, 0.3, 0.125, "above chance (0.170).", id="above"),
        pytest.param(0.1, 0.3, 0.125, "not shown to differ from chance (0.170).", id="around"),
        pytest.param(0.1, 0.15, 0.125, "not shown to differ from chance (0.170; guessing 0.125).", id="guess"),
        pytest.param(0.05, 0.1, 0.125, "below chance (0.170).", id="below"),
        pytest.param(0.1, 0.2, 0.25, "not shown to differ from chance (0.170).", id="lucky-guess"),
        pytest.param(0.05, 0.1, None, "below chance (0.170).", id="guess-unknown"),
    ],
)
def test_below_chance_is_below_a_guess_too(low: float, high: float, guess: float | None, said: str) -> None:
    sentence = metric_sentence("x", Row("accuracy", "pooled", 0.1, low, high, 99, {"chance": 0.17}), guess)
    assert sentence.endswith(f"(n = 99), {said}")


@pytest.mark.parametrize("n_recordings", [1, 10])
@pytest.mark.parametrize(
    ("task", "n_classes", "n_shown"),
    [("direction", 8, 8), ("direction", 8, 5), ("movie_frame", 300, 300)],
)
def test_guessers_are_not_below_chance(task: str, n_classes: int, n_shown: int, n_recordings: int) -> None:
    below, above, worlds = 0, 0, 60
    session = np.array([f"r{at % n_recordings}" for at in range(300)])
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        target, named = rng.integers(0, n_shown, 300), rng.integers(0, n_classes, 300)
        answers = Answers.of_classes(
            task, session, np.arange(300), prediction=named, target=target, n_classes=n_classes
        )
        told = judge(Comparison(answers), donor={name: name for name in session}, draws=100).sentences[:2]
        below += sum("below chance" in sentence for sentence in told)
        above += sum("above chance" in sentence for sentence in told)
    assert below <= 0.08 * 2 * worlds
    assert above <= 0.05 * 2 * worlds


@pytest.mark.parametrize("guessed", ["mean", "drawn"])
def test_values_that_are_guessed_are_not_below_chance(guessed: str) -> None:
    # Any constant has an R^2 of less than 0 in every draw.
    below, worlds = 0, 40
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        target = rng.standard_normal((200, 1))
        output = np.full_like(target, rng.normal(0, 0.3)) if guessed == "mean" else rng.permutation(target)
        answers = Answers(
            "pupil", "value", np.full(200, "r"), np.full(200, -1), np.arange(200), target, output.astype(float)
        )
        result = judge(Comparison(answers), donor={"r": "m"}, draws=100)
        assert result.row("r2").high < 0
        below += "below chance" in result.sentences[0]
    assert below <= 0.08 * worlds


def test_worse_than_a_guess_is_below_chance() -> None:
    answers = directions(120)
    wrong = np.eye(8)[(answers.target + 1) % 8]
    result = judge(Comparison(replace(answers, output=wrong)), donor=dict.fromkeys("rqp", "m"), draws=100)
    assert all("below chance" in sentence for sentence in result.sentences[:2])


def test_the_mean_training_picture_is_not_above_chance() -> None:
    comparison = folds()
    by_name = {one.name: one for one in comparison.baselines}
    mean = Comparison(replace(comparison.answers, output=by_name["train_mean"].answers.output), comparison.baselines)
    result = judge(mean, movie=Movie(movie(), STARTS), metrics=["ssim", "psnr"])
    for metric in ("ssim", "psnr"):
        row = result.row(metric)
        # A random training frame is easily beaten.
        assert row.low > row.beside["chance"]
        assert row.value == row.beside["train_mean"]
    told = [sentence for sentence in result.sentences if sentence.startswith("movie_pixels: ")]
    assert len(told) == 2
    for sentence in told:
        assert "not shown to differ from chance" in sentence
        assert ", the mean training frame" in sentence


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        pytest.param({"chance": 0.3, "train_mean": 0.4}, "above chance (0.400, the mean training frame).", id="mean"),
        pytest.param({"chance": 0.4, "train_mean": 0.3}, "above chance (0.400, a random training frame).", id="random"),
        pytest.param({"chance": 0.4}, "above chance (0.400, a random training frame).", id="random-alone"),
        pytest.param(
            {"chance": 0.65, "train_mean": 0.8},
            "not shown to differ from chance (0.800, the mean training frame; guessing 0.650).",
            id="as-a-random-frame",
        ),
        pytest.param(
            {"chance": 0.71, "train_mean": 0.8}, "below chance (0.800, the mean training frame).", id="worse-than-both"
        ),
        pytest.param(
            {"chance": float("nan"), "train_mean": 0.8},
            "not shown to differ from chance (0.800, the mean training frame).",
            id="mean-alone",
        ),
        pytest.param({"chance": float("nan")}, "chance is not known.", id="none"),
    ],
)
def test_chance_in_pictures_is_the_better_of_two_frames(beside: dict[str, float], said: str) -> None:
    sentence = metric_sentence("x", Row("ssim", "pooled", 0.6, 0.5, 0.7, 9, beside))
    assert sentence.endswith(said)


# -- the result ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["directions", "pictures"])
def test_json_holds_everything(what: str) -> None:
    comparison = Comparison(directions(40)) if what == "directions" else pictures(np.arange(20), np.arange(20, 40))
    result = judge(comparison, draws=50)
    text = result.to_json()
    assert json.loads(text)["task"] == comparison.answers.task
    again = Result.from_json(text)
    assert again.to_json() == text
    assert str(again) == str(result)
    assert again.table.equals(result.table)
    with pytest.raises(FrozenInstanceError):
        result.task = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        pytest.param(lambda: Result.from_json("[]"), "no result of an evaluation", id="no-result"),
        pytest.param(lambda: Result.from_json('{"format": 99}'), "another format", id="format"),
        pytest.param(lambda: judge(Comparison(directions(8)), metrics=["ssim"]), "does not suit", id="metric"),
        pytest.param(lambda: judge(Comparison(directions(8).take([]))), "no answers", id="empty"),
        pytest.param(
            lambda: judge(Comparison(directions(16), (Baseline("linear", directions(8)),))),
            "lacks 8",
            id="other-windows",
        ),
        pytest.param(lambda: judge(Comparison(directions(8))).row("psnr"), "no 'psnr'", id="row"),
        pytest.param(lambda: pool([]), "no folds", id="no-folds"),
        pytest.param(lambda: mark_seen(directions(8), [1]), "which picture was shown", id="no-pictures"),
    ],
)
def test_bad_input(call: object, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        call()  # type: ignore[operator]
