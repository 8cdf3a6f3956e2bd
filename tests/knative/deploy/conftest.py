"""A cluster for the tests of this folder: the stand-in API server, reached by a real kubeconfig."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.api_server import ApiServer
from support.knative_cluster import install

from tidemill.knative.cluster import Cluster, connect


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with ApiServer(token="right") as api:
        config = tmp_path / "kubeconfig"
        config.write_text(install(api).kubeconfig())
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield api


@pytest.fixture
def cluster(server: ApiServer) -> Iterator[Cluster]:
    found = connect(None, None)
    yield found
    found.close()
