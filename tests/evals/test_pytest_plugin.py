"""The pytest plugin, called in this process: what a test of each item does and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mastra.evals import checks, pytest_plugin, runs

pytest_plugins = ["pytester"]

LOADED = (checks, pytest_plugin, runs)
"""What a session of its own would load anew, and forget again, each time."""

Call = Callable[..., tuple[dict[str, int], str]]


@pytest.fixture
def call(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return what runs the tests of some files: how many ended how, and what was said."""
    # That pytest finds the plugin by its entry point is tested by programs of their own.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(**files: str) -> tuple[dict[str, int], str]:
        pytester.makepyfile(**files)
        done = pytester.runpytest_inprocess("-p", "mastra.evals.pytest_plugin")
        said = "\n".join([*done.outlines, *done.errlines])
        counts = done.parseoutcomes().items()
        return {name: count for name, count in counts if not name.startswith("warn")}, said

    return run


def test_a_marker_that_is_set_up_wrongly_is_said(call: Call) -> None:
    wrong = {
        "no_data": ("", "item", "needs dataset="),
        "no_item": ("[{'input': 1}]", "", "is of a test without the argument `item`"),
        "no_file": ("dataset='no.jsonl'", "item", "There is no file no.jsonl, neither in"),
        "no_items": ("dataset=[]", "item", "dataset 'items' has no items"),
        "number": ("dataset=7", "item", "items is 7. It takes a list"),
        "no_list": ("dataset=[{'inputs': 7}]", "item", "inputs is 7. It takes a list"),
    }
    files = {
        f"test_{name}": f"import pytest\n@pytest.mark.mastra_eval({mark})\n"
        f"def test_a({arguments}): pass\n"
        for name, (mark, arguments, _) in wrong.items()
    }
    counts, said = call(**files)
    assert counts == {"errors": len(wrong)}
    for name, (_, _, told) in wrong.items():
        where = f"test_{name}.py::test_a: @pytest.mark.mastra_eval"
        assert any(where in line and told in line for line in said.splitlines()), name


def test_a_dataset_is_given_as_it_is_or_by_a_file(call: Call, pytester: pytest.Pytester) -> None:
    pytester.makefile(".csv", words="input,ground_truth\none,ONE\ntwo,TWO\n")
    counts, said = call(
        test_it="""
        import pytest
        from mastra.evals import Dataset

        words = Dataset("words", [{"input": "Größe, 3"}, {"input": {"no": "text"}}])

        @pytest.mark.mastra_eval(words)
        def test_own(item, evaluation, record_property):
            record_property("other", 1)
            evaluation.record("size", len(item.input))

        @pytest.mark.mastra_eval("words.csv")
        def test_file(item):
            assert item.input.upper() == item.ground_truth

        def test_none():
            pass
        """,
    )
    assert counts == {"passed": 5}
    assert "test_own size  mean 4.500  lowest 1.000  of 2" in said


def test_without_scores_nothing_is_summed_up(call: Call) -> None:
    counts, said = call(
        test_it="""
        import pytest

        @pytest.mark.mastra_eval([{"input": 1}])
        def test_a(item):
            assert item.input == 1
        """,
    )
    assert counts == {"passed": 1}
    assert "evals" not in said


def test_what_fails_and_what_is_not_scored_is_told(call: Call) -> None:
    counts, said = call(
        test_it="""
        import pytest
        from mastra.evals import checks, create_scorer, not_scorable

        def fail(ctx):
            raise ValueError("kaputt")

        def odd(text):
            raise LookupError(f"no {text}")

        broken = create_scorer(id="broken", description="").generate_score(fail)
        empty = create_scorer(id="empty", description="").analyze(lambda _: not_scorable("why"))
        empty = empty.generate_score(lambda _: 1)
        one = pytest.mark.mastra_eval([{"input": "one"}])

        @one
        async def test_target(item, evaluation):
            await evaluation.run(odd, item)

        @one
        async def test_scorer(item, evaluation):
            await evaluation.run(str, item, scorers=[broken, empty, checks.includes("n")])

        @one
        async def test_passes(item, evaluation):
            found = await evaluation.run(str, item, scorers=[empty])
            assert found.scores == {"empty": None}

        @one
        @pytest.mark.filterwarnings("ignore::RuntimeWarning")
        def test_forgot(item, evaluation):
            evaluation.run(str, item)
        """,
    )
    assert counts == {"failed": 2, "passed": 2, "errors": 1}
    assert "LookupError: no one" in said
    assert "broken gave nothing: Stage generate_score of scorer 'broken' failed" in said
    assert "evaluation.run(…) was not awaited: the test must be async." in said
    assert "test_scorer check-includes  mean 1.000  lowest 1.000  of 1" in said
    assert "empty  mean" not in said
