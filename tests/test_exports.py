"""The public names: what is promised is offered, and nothing else is."""

import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules, walk_packages

import pytest

import mastra
from mastra import errors
from scripts import reference_pages

ROOT = Path(__file__).resolve().parent.parent

PROMISED = {
    "AbortController",
    "Agent",
    "AgentContext",
    "Fallback",
    "File",
    "Image",
    "InMemoryStorage",
    "InProcessEngine",
    "Mastra",
    "Message",
    "ModelConfig",
    "ProviderTool",
    "RequestContext",
    "RetryConfig",
    "SQLStorage",
    "ServerConfig",
    "StepContext",
    "StructuredOutput",
    "ToolContext",
    "UsageLimits",
    "WorkflowCanceled",
    "WorkflowFailed",
    "WorkflowPaused",
    "WorkflowSuccess",
    "WorkflowSuspended",
    "WorkflowTripwire",
    "clone_step",
    "clone_workflow",
    "create_step",
    "create_tool",
    "create_workflow",
    "step",
    "tool",
}

# Not made by hand, but wanted in annotations.
FOR_ANNOTATIONS = {
    "AbortSignal",
    "AgentStream",
    "Event",
    "Run",
    "Step",
    "StepResult",
    "Tool",
    "Workflow",
    "WorkflowResult",
}

# Promised and not built. A name leaves this list when it is offered.
NOT_BUILT: set[str] = set()

PUBLIC_PACKAGES = [
    "mastra.ag_ui",
    "mastra.ai_sdk",
    "mastra.errors",
    "mastra.inngest",
    "mastra.a2a",
    "mastra.mcp",
    "mastra.memory",
    "mastra.models",
    "mastra.observability",
    "mastra.processors",
    "mastra.server",
    "mastra.storage",
    "mastra.testing",
]


def test_every_promised_name_is_offered() -> None:
    promised = PROMISED | set(errors.__all__)
    assert promised - set(mastra.__all__) == NOT_BUILT


def test_nothing_but_promised_names_is_offered() -> None:
    assert set(mastra.__all__) - PROMISED - set(errors.__all__) <= FOR_ANNOTATIONS


@pytest.mark.parametrize("name", mastra.__all__)
def test_an_offered_name_can_be_imported(name: str) -> None:
    assert getattr(mastra, name) is not None


@pytest.mark.parametrize("package", [name for name in PUBLIC_PACKAGES if find_spec(name)])
def test_a_public_package_is_there_once_mastra_is_imported(package: str) -> None:
    said = f"import mastra; print({package}.__name__)"
    told = subprocess.run([sys.executable, "-c", said], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == package


def test_a_module_that_is_no_public_package_says_how_it_is_imported() -> None:
    said = "import mastra; mastra.registry"
    told = subprocess.run([sys.executable, "-c", said], check=False, capture_output=True, text=True)
    assert "`import mastra.registry`" in told.stderr


def test_the_version_is_that_of_the_distribution() -> None:
    assert mastra.__version__ == metadata.version("mastra-py")


def test_offered_names_are_unique() -> None:
    assert len(mastra.__all__) == len(set(mastra.__all__))


@pytest.mark.parametrize("package", reference_pages.PACKAGES)
def test_dir_lists_the_public_names_and_nothing_else(package: str) -> None:
    module = import_module(package)
    assert sorted(dir(module)) == sorted(module.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mastra.no_such_name


@pytest.mark.parametrize("package", [name for name in PUBLIC_PACKAGES if find_spec(name)])
def test_a_public_package_offers_what_it_lists(package: str) -> None:
    module = import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel and list the files in it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.xdist_group("wheel")
def test_the_wheel_holds_the_framework_and_nothing_else(wheel_names: list[str]) -> None:
    assert {name.split("/")[0] for name in wheel_names} == {
        "mastra",
        f"mastra_py-{version()}.dist-info",
    }


@pytest.mark.xdist_group("wheel")
def test_the_wheel_says_that_it_is_typed(wheel_names: list[str]) -> None:
    assert "mastra/py.typed" in wheel_names


def version() -> str:
    """Read the version that is declared in pyproject.toml."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return declared["project"]["version"]


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing such a module would put it in the place of what the package offers by the name."""
    packages = [package for package in walk_packages(mastra.__path__, "mastra.") if package.ispkg]
    for package in [mastra, *(import_module(found.name) for found in packages)]:
        modules = {found.name for found in iter_modules(package.__path__)}
        assert modules.isdisjoint(getattr(package, "__all__", ())), package.__name__
