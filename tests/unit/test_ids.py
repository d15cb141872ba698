"""Random ids are nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mastra.ids import random_id

FORKS = """
import os
from mastra.ids import random_id
random_id()
child = os.fork()
os.write(1, f"{random_id()} ".encode())
if child:
    os.waitpid(child, 0)
"""


def test_ids_are_random_uuids() -> None:
    made = {random_id() for _ in range(1000)}
    assert len(made) == 1000
    assert {(len(each), each[14], each[19] in "89ab") for each in made} == {(36, "4", True)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_process_makes_other_ids() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.split()
    assert first != second
