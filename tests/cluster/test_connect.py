"""Which Ray a study is run on."""

from __future__ import annotations

import pytest
import ray

from phylon.cluster.connect import ray_cluster
from phylon.errors import ConfigurationError


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ray://head:10001", r"driven from a node of the cluster; .*phylon submit"),
        ("no-such-host.invalid:6379", r"no Ray cluster answers at RAY_ADDRESS=no-such-host"),
        ("127.0.0.1:1", r"no Ray cluster answers at RAY_ADDRESS=127\.0\.0\.1:1, or this machine"),
    ],
)
def test_an_address_that_is_of_no_use_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str, reason: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigurationError, match=reason), ray_cluster():
        pytest.fail("it was joined")
    assert not ray.is_initialized()
