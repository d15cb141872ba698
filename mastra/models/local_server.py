"""The program that serves the embedded model: run as a process of its own, by its path.

A process, because loading the model holds Python's interpreter lock for as long as it takes and
would stop the caller's event loop. It imports nothing of this package, reads its settings as one
line of JSON from standard input, answers with one line, and ends when standard input ends: the
operating system closes that pipe however the parent dies, so nothing is ever left running.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from typing import Any

__all__ = ["main"]

_MAX_THREADS = 4
"""More do not help a model so small, and hurt where a container has fewer processors than seen."""


def _threads() -> int:
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        available = os.cpu_count() or 1
    return max(1, min(_MAX_THREADS, available))


def _serve(settings: dict[str, Any]) -> Any:
    xllamacpp: Any = import_module("xllamacpp")  # a native module, without types
    params = xllamacpp.CommonParams()
    params.model.path = settings["weights"]
    params.model_alias = {settings["model"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    # Loopback is open to every user and every web page on the machine; the key is not.
    params.api_keys = [settings["key"]]
    params.cors_origins = "http://127.0.0.1"
    # Each answer has a context of its own. In a shared one, two prompts that fit alone would fail
    # together; so whoever comes when all are taken waits.
    params.n_ctx = settings["context"] * settings["parallel"]
    params.n_parallel = settings["parallel"]
    params.kv_unified = False
    # A reader who leaves is noticed after each batch of a prompt, and others get their turn.
    params.n_batch = params.n_ubatch = settings["batch"]
    params.cache_ram_mib = settings["kept_prompts_mib"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _threads()
    params.ui = False
    params.offline = True
    params.verbosity = 0
    for name, value in settings["sampling"].items():
        setattr(params.sampling, name, value)
    params.n_predict = settings["max_output_tokens"]
    return xllamacpp.Server(params)


def main() -> None:
    """Load the model, say where it listens, and stay until standard input ends."""
    # Ctrl-C reaches every process of the terminal; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the native library prints is not an answer
    settings = json.loads(sys.stdin.readline())
    sys.path[:] = settings["path"]
    server = None
    try:
        server = _serve(settings)
        reply = {"url": f"{server.listening_address}/v1"}
    except Exception as error:  # noqa: BLE001 - the parent raises it again
        reply = {"error": f"{type(error).__name__}: {error}"}
    try:
        answer.write(json.dumps(reply) + "\n")
        answer.close()
        if server is not None:
            sys.stdin.read()
    finally:
        # Without the native destructors, which wait for answers under way.
        os._exit(0 if server is not None else 1)


if __name__ == "__main__":
    main()
