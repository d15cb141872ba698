"""What is locked is complete, and what installs it resolves nothing.

An install that resolves picks up what was released since, or stops because of it. Nothing here
asks an index: the requirements are read from the metadata of what is installed. Of a package that
is installed on other systems only, and of the peers and the documents where `make` never installed them, it is
looked at whether they are locked, not what they require in turn.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = {"3.11": "3.11.7", "3.12": "3.12.1", "3.13": "3.13.0", "3.14": "3.14.0"}
MACHINES = (
    ("linux", "Linux", "posix", "x86_64"),
    ("linux", "Linux", "posix", "aarch64"),
    ("darwin", "Darwin", "posix", "x86_64"),
    ("darwin", "Darwin", "posix", "arm64"),
    ("win32", "Windows", "nt", "AMD64"),
    ("win32", "Windows", "nt", "ARM64"),
)
ENVIRONMENTS = [
    {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": python,
        "python_full_version": full,
        "implementation_version": full,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": platform,
        "platform_system": system,
        "os_name": os_name,
        "platform_machine": machine,
    }
    for (python, full), (platform, system, os_name, machine) in product(PYTHONS.items(), MACHINES)
]
HERE = {key: str(value) for key, value in default_environment().items()}


def id_of(environment: dict[str, str]) -> str:
    names = ("python_full_version", "sys_platform", "platform_machine")
    return "-".join(environment[key] for key in names)


BY_ID = {id_of(environment): environment for environment in [*ENVIRONMENTS, HERE]}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

APP_EXTRAS = ("cli", "inngest", "openai", "postgres")
DEV, APP, BUILD = "requirements/dev.txt", "requirements/app.txt", "requirements/build.txt"
WEIGHTS, PEERS = "requirements/local-model.txt", "bench/peers/requirements.txt"
DOCS = "requirements/docs.txt"
LOCKS = [DEV, APP, BUILD, WEIGHTS, PEERS, DOCS]
STANDS_ALONE = {WEIGHTS}
"""Locks of packages whose requirements are left out on purpose."""


class Locked(NamedTuple):
    """One entry of a lock file."""

    requirement: Requirement
    hashes: int

    @property
    def version(self) -> str:
        [one] = self.requirement.specifier
        assert one.operator == "=="
        return one.version


def locked_in(path: str) -> list[Locked]:
    """Return what a lock file holds."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", (ROOT / path).read_text())
    entries = re.sub(r"\\\n", " ", text).splitlines()
    return [
        Locked(Requirement(entry.split(" --hash=")[0].strip()), entry.count("--hash=sha256:"))
        for entry in entries
        if entry.strip()
    ]


def listed_in(path: str) -> list[Requirement]:
    """Return what a list of requirements asks for."""
    found: list[Requirement] = []
    for line in (ROOT / path).read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            found += listed_in(str(Path(path).parent / text[3:]))
        elif text:
            found.append(Requirement(text))
    return found


def of_project(*extras: str) -> list[Requirement]:
    """Return what the project itself requires, with extras and those that they name in turn."""
    project = PYPROJECT["project"]
    asked = [Requirement(text) for text in project["dependencies"]]
    for extra in extras:
        for one in map(Requirement, project["optional-dependencies"][extra]):
            asked += of_project(*one.extras) if one.name == project["name"] else [one]
    return asked


ASKED = {
    DEV: lambda: [
        *of_project("all"),
        *listed_in("requirements/dev.in"),
        *map(Requirement, PYPROJECT["build-system"]["requires"]),
    ],
    APP: lambda: of_project(*APP_EXTRAS),
    BUILD: lambda: [
        *listed_in("requirements/build.in"),
        *map(Requirement, PYPROJECT["build-system"]["requires"]),
    ],
    WEIGHTS: lambda: listed_in("requirements/local-model.in"),
    PEERS: lambda: listed_in("bench/peers/requirements.in"),
    DOCS: lambda: listed_in("requirements/docs.in"),
}


@cache
def elsewhere() -> dict[tuple[str, str], Distribution]:
    """Return what is installed for comparing with other libraries and for the documents, if it is."""
    places = [
        str(path)
        for name in (".venv-peers", ".venv-docs")
        for path in ROOT.glob(f"{name}/lib/python*/site-packages")
    ]
    return {
        (canonicalize_name(one.name), one.version): one
        for place in places
        for one in distributions(path=[place])
    }


@cache
def metadata_of(name: str, version: str) -> Distribution | None:
    """Return the metadata of a package as locked, or `None` if it is installed nowhere here."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        found = None
    for one in (found, elsewhere().get((name, version))):
        if one is not None and one.version == version:
            return one
    return None


@cache
def requirements_of(name: str, version: str) -> list[Requirement]:
    found = metadata_of(name, version)
    return [Requirement(text) for text in (found and found.requires) or ()]


@cache
def evaluated(marker: str, environment: str, extra: str) -> bool:
    return Marker(marker).evaluate({**BY_ID[environment], "extra": extra})


def holds(requirement: Requirement, environment: dict[str, str], extras: Iterable[str]) -> bool:
    if requirement.marker is None:
        return True
    text, where = str(requirement.marker), id_of(environment)
    return any(evaluated(text, where, extra) for extra in ("", *extras))


def lacking(path: str, environment: dict[str, str]) -> list[str]:
    """Return what an install of a lock would lack in an environment, as lines to read."""
    present: dict[str, Locked] = {}
    for one in locked_in(path):
        if holds(one.requirement, environment, ()):
            name = canonicalize_name(one.requirement.name)
            assert name not in present, f"{path} has {name} twice"
            present[name] = one
    found: list[str] = []
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(path, one, frozenset[str]()) for one in ASKED[path]()]
    while todo:
        asker, wanted, given = todo.pop()
        if not holds(wanted, environment, given):
            continue
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        have = present.get(name)
        if have is None or not wanted.specifier.contains(have.version, prereleases=True):
            found.append(f"{asker} requires {wanted}, locked is {have and have.version}")
            continue
        if (name, extras) in seen or path in STANDS_ALONE:
            continue
        seen.add((name, extras))
        metadata = metadata_of(name, have.version)
        pythons = SpecifierSet(str((metadata and metadata.metadata.get("Requires-Python")) or ""))
        if not pythons.contains(environment["python_full_version"]):
            found.append(f"{name} {have.version} requires Python {pythons}")
        todo += [(name, inner, extras) for inner in requirements_of(name, have.version)]
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=id_of)
@pytest.mark.parametrize("path", LOCKS)
def test_every_requirement_is_met_inside_the_lock(path: str, environment: dict[str, str]) -> None:
    assert lacking(path, environment) == []


@pytest.mark.parametrize("path", [DEV, APP, BUILD])
def test_the_metadata_that_is_read_is_that_of_the_locked_versions(path: str) -> None:
    unread = [
        str(one.requirement)
        for one in locked_in(path)
        if holds(one.requirement, HERE, ())
        and metadata_of(canonicalize_name(one.requirement.name), one.version) is None
    ]
    assert unread == []


def test_what_is_missing_from_a_lock_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [one for one in locked_in(DEV) if one.requirement.name not in ("iniconfig", "h11")]
    lines = [f"{one.requirement} --hash=sha256:0" for one in kept]
    (tmp_path / "short.txt").write_text("\n".join(lines))
    monkeypatch.setitem(ASKED, str(tmp_path / "short.txt"), ASKED[DEV])
    found = lacking(str(tmp_path / "short.txt"), ENVIRONMENTS[0])
    assert {line.split()[0] for line in found} >= {"pytest", "httpcore", "uvicorn"}
    assert {re.split("[<>]", line.split()[2])[0] for line in found} == {"iniconfig", "h11"}


@pytest.mark.parametrize("path", LOCKS)
def test_everything_is_locked_by_version_and_hash_and_names_no_address(path: str) -> None:
    entries = locked_in(path)
    assert entries
    assert [str(one.requirement) for one in entries if not one.hashes] == []
    assert all(one.version for one in entries)
    assert "://" not in (ROOT / path).read_text()


@pytest.mark.parametrize("path", [APP, BUILD])
def test_an_image_has_what_the_tests_ran_with(path: str) -> None:
    tested = {(one.requirement.name, one.version) for one in locked_in(DEV)}
    assert {(one.requirement.name, one.version) for one in locked_in(path)} <= tested


def test_an_image_has_no_tools_of_developers() -> None:
    listed = {canonicalize_name(one.name) for one in listed_in("requirements/dev.in")}
    own = {canonicalize_name(one.name) for one in of_project(*APP_EXTRAS)}
    shared = {"packaging", "pyyaml", "tiktoken", "opentelemetry-sdk"}  # litellm and others ask too
    packed = {canonicalize_name(one.requirement.name) for one in locked_in(APP)}
    assert packed & listed <= own | shared


# -- the commands that install ------------------------------------------------------------------


def commands_of(*targets: str) -> list[list[str]]:
    """Return the words of each `pip` command that `make` would run for its targets."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "--no-print-directory", *targets],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if re.search(r"\bpip\b", line)]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[words.index("pip") :] for words in found if "pip" in words]


def installed_by(command: list[str]) -> str | None:
    """Return the lock that a command installs; fail if it may resolve anything.

    `None` is the project itself, which is built with what is installed already.
    """
    assert command[:2] == ["pip", "install"]
    assert "--no-deps" in command
    for word in command:
        assert not word.startswith(("--index-url", "--extra-index-url", "--find-links", "-U"))
    if "-r" not in command:
        assert command[-1] in (".", "/wheels/*.whl")
        return None
    assert "--require-hashes" in command
    place = command.index("-r")
    assert command[place + 2 :] == []
    return command[place + 1]


def test_make_installs_what_was_looked_at_and_resolves_nothing() -> None:
    commands = commands_of("install")
    assert [installed_by(command) for command in commands] == [DEV, WEIGHTS, None]
    assert "--no-build-isolation" in commands[-1]


@pytest.mark.parametrize(("name", "lock"), [(".venv-peers", PEERS), (".venv-docs", DOCS)])
def test_make_installs_other_environments_likewise(name: str, lock: str) -> None:
    commands = commands_of(f"{name}/.installed")
    assert [installed_by(command) for command in commands] == [lock]


@pytest.mark.parametrize("target", ["demo", "test", "check", "test-engines", "soak", "dev"])
def test_no_target_installs_in_another_way(target: str) -> None:
    commands = commands_of(target)
    assert [installed_by(command) for command in commands[:3]] == [DEV, WEIGHTS, None]
    assert {installed_by(command) for command in commands} == {DEV, WEIGHTS, None}


def test_whatever_else_the_makefile_says_to_pip_is_one_of_these() -> None:
    text = (ROOT / "Makefile").read_text()
    lines = [line for line in text.splitlines() if "pip install" in line or "$(PIP" in line]
    assert [line for line in lines if "$(PIP" not in line and not line.startswith("PIP_")] == []
    assert text.count("-m pip install") == 1


def test_the_check_after_an_install_finds_what_is_missing(tmp_path: Path) -> None:
    site = tmp_path / "needy-1.dist-info"
    site.mkdir()
    (site / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: needy\nVersion: 1\nRequires-Dist: nowhere-to-be-found\n"
    )
    (site / "RECORD").write_text("")
    (site / "INSTALLER").write_text("pip")

    def check(*locks: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "scripts/check_installed.py", *locks],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        )
        return done.returncode, done.stdout

    code, said = check(WEIGHTS)
    assert code == 1
    assert "needy 1 requires nowhere-to-be-found, which is not installed." in said
    alone = tmp_path / "alone.txt"
    alone.write_text("needy==1 --hash=sha256:0\n")
    assert check(WEIGHTS, str(alone)) == (0, "")


# -- the image and what runs beside it -----------------------------------------------------------

TAG = r"\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?"
"""A version to the last number; a name such as `latest`, `17` or `3.12-slim` moves."""


def is_pinned(image: str) -> bool:
    name, _, tag = image.rpartition(":")
    if "@sha256:" in image:
        return True
    # PostgreSQL's releases have two numbers, those of the others three.
    numbers = 2 if name == "postgres" else 3
    return bool(re.fullmatch(TAG, tag.removeprefix("v"))) and tag.count(".") >= numbers - 1


@pytest.mark.parametrize("image", ["python:3.12-slim", "postgres:17", "postgres", "x/y:latest"])
def test_a_tag_that_moves_is_none(image: str) -> None:
    assert not is_pinned(image)


def test_the_images_are_named_exactly() -> None:
    text = (ROOT / "Dockerfile").read_text()
    images = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    images += [service["image"] for service in services.values() if "image" in service]
    assert len(images) == 4
    assert [image for image in images if not is_pinned(image)] == []
    assert len(set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))) == 1


def test_the_image_installs_from_locks_and_resolves_nothing() -> None:
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    runs = [
        shlex.split(part)
        for line in re.findall(r"^RUN (.+)$", text, re.MULTILINE)
        for part in line.split("&&")
    ]
    pips = [words for words in runs if words[0] == "pip"]
    assert [words for words in pips if words[1] not in ("install", "wheel", "check")] == []
    installs = [installed_by(words) for words in pips if words[1] == "install"]
    assert installs == [Path(BUILD).name, Path(APP).name, None]
    [wheel] = [words for words in pips if words[1] == "wheel"]
    assert {"--no-deps", "--no-build-isolation"} <= set(wheel)
    assert ["pip", "check"] in runs


def texts_in(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, str):
        yield value


def test_compose_starts_with_keys_of_ones_own_or_not_at_all() -> None:
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    taken = [name for text in texts_in(composed) for name in re.findall(r"\$\{[^}]*\}", text)]
    named = {re.split(r"[:?-]", name[2:-1])[0]: name for name in taken}
    assert {"POSTGRES_PASSWORD", "INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY"} <= set(named)
    assert [name for name in taken if not re.fullmatch(r"\$\{\w+:\?[^}]+\}", name)] == []
    # A key that is written down is everybody's.
    for service in composed["services"].values():
        for key, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD|SECRET|TOKEN", key):
                assert "${" in value, key
    for text in texts_in(composed):
        assert not re.search(r"://[^/$@]*:[^/$@]+@", text)


def test_compose_opens_ports_to_this_machine_alone() -> None:
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    ports = [port for service in composed["services"].values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_app_answers_to_the_name_that_inngest_calls_it_by() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    environment = services["app"]["environment"]
    names = environment["MASTRA_ALLOWED_HOSTS"].split(",")
    assert urlsplit(environment["INNGEST_SERVE_ORIGIN"]).hostname in names
    [called] = re.findall(r"--sdk-url (\S+)", services["inngest"]["command"])
    assert urlsplit(called).hostname in names
