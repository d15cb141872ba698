"""`mastra dev` as a real process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.app_process import environment
from tests.support.inngest_env import free_ports

APP = """
from mastra import Mastra
from mastra.server import ServerConfig

mastra = Mastra(server=ServerConfig(receive_timeout=0.3))
"""


OPEN_ENDED = """
from mastra import Mastra
from mastra.server import BearerAuth, ServerConfig

mastra = Mastra(server=ServerConfig(auth=BearerAuth(["key"]), receive_timeout=None))
"""
WITH_TRAILER = (
    b"POST /api/memory/threads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer key\r\n\r\n"
)


@pytest.mark.parametrize(
    "reload",
    [
        pytest.param("--reload", marks=pytest.mark.every_engine),
        "--no-reload",
    ],
)
async def test_half_sent_headers_are_not_waited_for(tmp_path: Path, reload: str) -> None:
    assert (await first_line(tmp_path, APP, b"GET / HT", reload)).startswith(b"HTTP/1.1 408")


async def test_what_stands_behind_a_body_is_no_header_whatever_time_there_is(
    tmp_path: Path,
) -> None:
    answer = await first_line(tmp_path, OPEN_ENDED, WITH_TRAILER, "--no-reload")
    assert answer.startswith(b"HTTP/1.1 401")


async def first_line(tmp_path: Path, app: str, sent: bytes, reload: str) -> bytes:
    """Return how a server of an application begins its answer."""
    (tmp_path / "served.py").write_text(app)
    [port] = free_ports(1)
    program = "from mastra.cli import main; main()"
    args = ["-c", program, "dev", "--app", "served:mastra", "--port", str(port), reload]
    env = environment({"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"})
    process = await asyncio.create_subprocess_exec(sys.executable, *args, cwd=tmp_path, env=env)
    try:
        async with asyncio.timeout(50):
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            writer.write(sent)
            answer = await reader.readline()
            writer.close()
            return answer
    finally:
        process.terminate()
        await process.wait()


OBSERVED = """
from mastra import Mastra
from mastra.observability import Observability

mastra = Mastra(observability=Observability(capture_content=True))
"""


@pytest.mark.parametrize(("app", "is_own"), [(OBSERVED, True), (APP, False)])
async def test_what_the_application_says_of_traces_holds(
    tmp_path: Path, app: str, is_own: bool
) -> None:
    (tmp_path / "served.py").write_text(app)
    program = (
        "from mastra.cli.serving import dev_app\n"
        "dev_app()\n"
        "import served\n"
        "print(served.mastra.observability.capture_content)"
    )
    told = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}", "MASTRA_APP": "served:mastra"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        cwd=tmp_path,
        env=environment(told),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert (process.returncode, said.decode().split()) == (0, [str(is_own)])
