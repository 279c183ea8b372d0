"""Hashing many keys at once gives what hashing each by itself gives."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata import digests, hash_kernel


def one_by_one(keys: Sequence[str], prefix: bytes) -> list[int]:
    return [
        int.from_bytes(hashlib.blake2b(prefix + key.encode("utf-8"), digest_size=8).digest(), "little") for key in keys
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), max_size=30), min_size=1),
    st.integers(0, 2**63 - 1),
    st.integers(1, 7),
)
def test_every_key_has_the_hash_of_the_standard_library(keys: list[str], seed: int, part: int) -> None:
    prefix = f"{seed}:".encode()
    before = hash_kernel._PART
    hash_kernel._PART = part
    try:
        hashes = hash_kernel.hash_keys(keys, prefix)
    finally:
        hash_kernel._PART = before
    assert hashes is not None
    assert hashes.tolist() == one_by_one(keys, prefix)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 63, 64, 125, 126], ids="{}-bytes".format)
def test_a_key_may_fill_a_block(length: int) -> None:
    hashes = hash_kernel.hash_keys(["x" * length], b"0:")
    assert hashes is not None
    assert hashes.tolist() == one_by_one(["x" * length], b"0:")


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(["short", "x" * 127], id="longer-than-a-block"),
        pytest.param(["a\nb", "c"], id="line-break"),
    ],
)
def test_what_the_kernel_cannot_take_is_hashed_one_by_one(keys: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert hash_kernel.hash_keys(keys, b"3:") is None
    monkeypatch.setattr(digests, "MANY", 1)
    assert digests.hash_order(keys, 3).tolist() == one_by_one(keys, b"3:")


def test_few_and_many_keys_have_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"50000{number // 9}_{number % 9:03d}" for number in range(1000)]
    few = digests.hash_order(keys, 5)
    monkeypatch.setattr(digests, "MANY", 1)
    np.testing.assert_array_equal(digests.hash_order(iter(keys), 5), few)
