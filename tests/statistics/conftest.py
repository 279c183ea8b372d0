import pytest

from tests.fake_store import make_store


@pytest.fixture
def store(tmp_path):
    """Three recordings of two donors with known content."""
    return make_store(tmp_path, n_sessions=3, n_donors=2)
