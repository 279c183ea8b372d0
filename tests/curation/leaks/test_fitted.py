"""What was fitted says what it looked at, to the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poyodata.curation.leaks.fitted import KINDS, Fitted, fitted_on
from poyodata.errors import UsageError
from tests.curation.leaks.leak_cases import fit, held, manifest, recording, trained


def spans(fitted: Fitted) -> dict[str, list[list[int]]]:
    assert fitted.looked_at is not None
    return {name: rows.tolist() for name, rows in fitted.looked_at.items()}


@pytest.mark.parametrize(
    ("roles", "looked", "donors"),
    [
        pytest.param(None, {"s0": [[0, 100]], "s4": [[0, 100]]}, ("d0", "d2"), id="train_roles"),
        pytest.param(["train"], {"s0": [[0, 100]]}, ("d0",), id="train"),
        pytest.param(["identify"], {"s4": [[0, 100]]}, ("d2",), id="identify"),
        pytest.param(["train", "valid"], {"s0": [[0, 100], [110, 200]]}, ("d0",), id="two_roles"),
    ],
)
def test_what_a_fit_on_a_manifest_looked_at(roles: Any, looked: dict[str, Any], donors: tuple[str, ...]) -> None:
    made = manifest(trained(0), held(4), across="donor")
    fitted = fitted_on(made, "dff", "normalisation", **({} if roles is None else {"roles": roles}))
    assert spans(fitted) == looked
    assert (fitted.sessions, fitted.donors) == (tuple(looked), donors)
    assert set(fitted.roles) == set(roles or ("train", "identify"))
    assert (fitted.manifest_digest, fitted.split_digest) == (made.digest, made.split_digest)
    assert not fitted.uses_labels


def test_frames_are_merged_and_unknown_donors_left_out() -> None:
    made = manifest(recording(0, donor=None).eat(("train", 40, 60), ("train", 0, 50), ("test", 160, 200)))
    fitted = fitted_on(made, "units", "units")
    assert spans(fitted) == {"s0": [[0, 60]]}
    assert fitted.donors == ()
    assert fitted.roles == ("train",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"name": " "}, "needs a name", id="name"),
        pytest.param({"kind": "normalization"}, "did you mean 'normalisation'", id="kind"),
        pytest.param({"roles": ("training",)}, "did you mean 'train'", id="role"),
        pytest.param({"looked_at": {"s1": np.array([[0, 5]])}}, "'s1', which `sessions` does not name", id="frames"),
    ],
)
def test_a_fit_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit(**{"kind": "normalisation"} | changes)


def test_a_role_that_does_not_exist_is_refused_before_anything_is_fitted() -> None:
    with pytest.raises(UsageError, match="no role is called 'idendify'"):
        fitted_on(manifest(recording(0)), "dff", "normalisation", roles=["idendify"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_serves_all_animals_is_told_from_what_serves_each_neuron(kind: str) -> None:
    assert fit(kind).shared == (kind in ("quantile", "threshold", "vocabulary"))
