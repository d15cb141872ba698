"""The soak of `bench/inngest_soak.py` in its short form: two minutes in place of an hour."""

from __future__ import annotations

import sys

import pytest

from tests.support.inngest_env import inngest_binary

pytestmark = [pytest.mark.anyio, pytest.mark.devserver, pytest.mark.soak]


@pytest.mark.skipif(inngest_binary() is None, reason="no Inngest server")
@pytest.mark.timeout(1800)
async def test_nothing_is_lost_or_doubled_while_workers_and_the_server_die() -> None:
    from bench.inngest_soak import soak

    report = await soak(300, 2.0)
    sys.stderr.write(f"\n{report}\n")
    assert report.lost == []
    assert report.doubled == []
    assert report.kills > 0
    assert report.restarts == 2
