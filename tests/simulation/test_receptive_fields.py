from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from poyodata.simulation.movies import movie_template
from poyodata.simulation.receptive_fields import (
    SCREEN_DEG,
    gabor_responses,
    grating_frame,
    rf_sigma_deg,
    static_grating_tuning,
    template_energy,
)
from poyodata.simulation.sparse_noise import SPARSE_NOISE, sparse_noise_template
from poyodata.simulation.timeline import ORIENTATIONS_DEG, PHASES, SPATIAL_FREQUENCIES_CPD


def draw(count: int, seed: int = 0, **columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    neurons = pd.DataFrame(
        {
            "azimuth_deg": rng.uniform(-25.0, 25.0, count),
            "altitude_deg": rng.uniform(-15.0, 15.0, count),
            "preferred_direction_deg": rng.uniform(0.0, 360.0, count),
            "preferred_spatial_frequency_cpd": 0.02 * 2.0 ** rng.uniform(0.0, 4.0, count),
            "tuning_concentration": rng.uniform(1.5, 5.0, count),
            "preferred_phase": rng.random(count),
            "phase_selectivity": rng.random(count),
        }
    )
    return neurons.assign(**columns)


def test_drifting_gratings_find_the_concentration() -> None:
    neurons = draw(20)
    sigma, f0 = rf_sigma_deg(neurons), neurons["preferred_spatial_frequency_cpd"].to_numpy()
    angle = np.deg2rad(np.arange(0, 360, 45))[:, None]
    distance = (0.04 * np.cos(angle) - f0) ** 2 + (0.04 * np.sin(angle)) ** 2
    response = np.exp(-2 * np.pi**2 * sigma**2 * distance)
    expected = np.exp(neurons["tuning_concentration"].to_numpy() * (np.cos(angle) - 1))
    np.testing.assert_allclose(response / response[0], expected, rtol=1e-9)


@pytest.mark.parametrize("selectivity", [0.0, 0.5, 1.0])
def test_receptive_fields_see_the_frames(selectivity: float) -> None:
    neurons = draw(30, phase_selectivity=selectivity)
    conditions = [(o, f, p) for o in ORIENTATIONS_DEG for f in SPATIAL_FREQUENCIES_CPD for p in PHASES]
    frames = np.stack([grating_frame(o, f, p) for o, f, p in conditions])
    seen = gabor_responses(neurons, frames, SCREEN_DEG)
    turned = seen * np.exp(-2j * np.pi * neurons["preferred_phase"].to_numpy())
    response = (1 - selectivity) * np.abs(seen) + selectivity * np.maximum(turned.real, 0)
    tuning = static_grating_tuning(neurons).reshape(30, 120).T
    for neuron in range(30):
        assert np.corrcoef(response[:, neuron], tuning[:, neuron])[0, 1] > 0.98
    # The scale agrees too: a share of the best grating's response.
    assert np.polyfit(tuning.ravel(), response.ravel(), 1)[0] == pytest.approx(1.0, abs=0.2)


def test_tuning_is_a_share_of_the_best_response() -> None:
    neurons = draw(300, seed=1)
    tuning = static_grating_tuning(neurons)
    assert tuning.shape == (300, 6, 5, 4)
    assert tuning.min() >= 0
    assert 0.8 < tuning.max() <= 1.0
    best = draw(
        6,
        azimuth_deg=0.0,
        altitude_deg=0.0,
        preferred_direction_deg=np.array([0.0, 30.0, 60.0, 270.0, 300.0, 330.0]),
        preferred_spatial_frequency_cpd=np.array([0.04, 0.08, 0.16, 0.32, 0.32, 0.16]),
        tuning_concentration=4.0,
        preferred_phase=np.array([0.0, 0.25, 0.5, 0.0, 0.25, 0.75]),
        phase_selectivity=1.0,
    )
    tuning = static_grating_tuning(best)
    np.testing.assert_allclose(tuning.max(axis=(1, 2, 3)), 1.0, atol=0.01)
    found = np.array(np.unravel_index(tuning.reshape(6, -1).argmax(axis=1), (6, 5, 4))).T
    # Directions above 180 run the other way along the same grating, and so do their phases.
    expected = [(0, 1, 0), (1, 2, 1), (2, 3, 2), (3, 4, 0), (4, 4, 3), (5, 3, 1)]
    assert [tuple(row) for row in found.tolist()] == expected


def test_complex_cells_do_not_care_for_phase() -> None:
    neurons = draw(20, phase_selectivity=0.0, preferred_spatial_frequency_cpd=0.16)
    tuning = static_grating_tuning(neurons)
    strong = tuning[:, :, 3]
    np.testing.assert_allclose(strong, np.broadcast_to(strong[:, :, :1], strong.shape), atol=0.01)


def test_tuning_repeats_after_half_a_turn() -> None:
    neurons = draw(20, phase_selectivity=0.0)
    turned = neurons.assign(preferred_direction_deg=neurons["preferred_direction_deg"] + 180.0)
    np.testing.assert_allclose(static_grating_tuning(neurons), static_grating_tuning(turned), atol=1e-12)


def test_gratings_are_drawn_as_said() -> None:
    vertical = grating_frame(0.0, 0.02, 0.0)
    assert vertical.shape == (304, 608)
    assert (vertical == vertical[:1]).all()
    horizontal = grating_frame(90.0, 0.02, 0.0)
    assert (horizontal == horizontal[:, :1]).all()
    # A quarter cycle of 100 degrees moves the crest from the centre to 25 degrees on the right, or above.
    azimuth = (np.arange(608) - 303.5) * 120 / 608
    assert azimuth[grating_frame(0.0, 0.01, 0.25)[0].argmax()] == pytest.approx(25.0, abs=2.0)
    altitude = -(np.arange(304) - 151.5) * 95 / 304
    assert altitude[grating_frame(90.0, 0.01, 0.25)[:, 0].argmax()] == pytest.approx(25.0, abs=2.0)


@pytest.mark.parametrize("name", ["locally_sparse_noise", "locally_sparse_noise_8deg"])
def test_sparse_noise_finds_the_receptive_field(name: str) -> None:
    kind = SPARSE_NOISE[name]
    neurons = draw(20, preferred_spatial_frequency_cpd=0.04)
    noise = sparse_noise_template(
        8880, kind.rows, kind.columns, np.random.default_rng(0), exclusion_px=kind.exclusion_px
    )
    energy = template_energy(neurons, noise, kind.extent_deg)
    assert energy.shape == (8880, 20)
    lit = (noise != 127).astype(np.float64)
    average = np.einsum("fn,frc->nrc", energy - energy.mean(axis=0), lit) / lit.sum(axis=0)
    weight = np.maximum(average - 0.3 * average.max(axis=(1, 2), keepdims=True), 0)
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    azimuth = (np.arange(kind.columns) - (kind.columns - 1) / 2) * kind.pixel_deg
    altitude = -(np.arange(kind.rows) - (kind.rows - 1) / 2) * kind.pixel_deg
    found = np.column_stack([(weight * azimuth).sum(axis=(1, 2)), (weight * altitude[:, None]).sum(axis=(1, 2))])
    error = np.hypot(*(found - neurons[["azimuth_deg", "altitude_deg"]].to_numpy()).T)
    assert np.median(error) < 0.5 * kind.pixel_deg
    assert error.max() < 1.2 * kind.pixel_deg


@pytest.mark.parametrize("grey", [127, 40], ids=["no contrast", "no change"])
def test_frames_that_do_not_change_drive_nothing(grey: int) -> None:
    frames = np.full((5, 152, 304), grey, np.uint8)
    assert (template_energy(draw(10), frames, SCREEN_DEG) == 0).all()


def test_cells_off_the_screen_see_nothing() -> None:
    frames = np.stack([grating_frame(angle, 0.04, 0.0) for angle in (0.0, 60.0, 120.0)])
    neurons = draw(4, azimuth_deg=np.array([0.0, 300.0, -300.0, 0.0]), preferred_spatial_frequency_cpd=0.04)
    assert (template_energy(neurons, frames, SCREEN_DEG).max(axis=0) == [1, 0, 0, 1]).all()


def test_energy_of_a_movie_lies_between_nothing_and_all() -> None:
    movie = movie_template(120, 152, 304, np.random.default_rng(0))
    neurons = draw(130)
    energy = template_energy(neurons, movie, SCREEN_DEG)
    assert energy.shape == (120, 130)
    assert energy.dtype == np.float32
    assert energy.min() >= 0
    np.testing.assert_allclose(energy.max(axis=0), 1.0, rtol=1e-6)
    assert energy.std(axis=0).min() > 0.02
    np.testing.assert_array_equal(energy, template_energy(neurons, movie, SCREEN_DEG))
    # A neuron is seen alike whoever else is there.
    np.testing.assert_allclose(energy[:, :3], template_energy(neurons[:3], movie, SCREEN_DEG), atol=1e-5)
    assert template_energy(neurons, movie[:0], SCREEN_DEG).shape == (0, 130)
    assert template_energy(neurons[:0], movie, SCREEN_DEG).shape == (120, 0)


def test_shrinking_costs_little_but_at_the_finest() -> None:
    movie = movie_template(150, 304, 608, np.random.default_rng(2))
    neurons = draw(60, seed=3)
    full = template_energy(neurons, movie, SCREEN_DEG, max_px=608)
    shrunk = template_energy(neurons, movie, SCREEN_DEG)
    alike = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(full.T, shrunk.T, strict=True)])
    coarse = neurons["preferred_spatial_frequency_cpd"].to_numpy() < 0.16
    assert alike[coarse].min() > 0.97
    assert alike.min() > 0.85


@pytest.mark.parametrize("phase", [0.0, 0.5, 1.0])
def test_cells_follow_the_phase_as_far_as_it_holds(phase: float) -> None:
    frames = np.stack([grating_frame(0.0, 0.04, cycles) for cycles in (0.25, 0.5, 0.75)])
    grey = np.full_like(frames[:1], 127)
    neurons = draw(
        1, preferred_direction_deg=0.0, preferred_spatial_frequency_cpd=0.04, azimuth_deg=0.0, altitude_deg=0.0
    ).assign(preferred_phase=0.25, phase_selectivity=1.0)
    response = template_energy(neurons, np.concatenate([grey, frames]), SCREEN_DEG, phase)[1:, 0]
    np.testing.assert_allclose(response, [1.0, 1.0 - phase, 1.0 - phase], atol=0.03)
    # As in static gratings, whose orientations and frequencies begin with these.
    tuning = static_grating_tuning(neurons)[0, 0, 1]
    np.testing.assert_allclose(tuning[1:4] / tuning.max(), [1.0, 0.0, 0.0], atol=0.03)
