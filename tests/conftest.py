# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the whole suite. Loads no torch itself: the client's tests must run without it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Before any test imports torch: one thread, so that results do not depend on the
# machine's number of cores, and torch's threads do not wait for one another on a busy one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run, and no deadline: a busy machine must not fail a test.
settings.register_profile("spikelink", derandomize=True, deadline=None, database=None)
settings.load_profile("spikelink")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files marked ``long`` first: handed out last, one of them would run alone while the other cores wait."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with a random resnet18 (tests/toy.py), made once per run; read it, do not change it."""
    from toy import toy_weights

    return toy_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A session store of each kind, empty."""
    from redis_server import running_redis

    if request.param == "sqlite":
        yield f"sqlite://{tmp_path_factory.mktemp('store') / 'sessions.sqlite3'}"
    else:
        with running_redis() as server:
            yield server.url
