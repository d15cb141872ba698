"""Datasets, `run_evals`, experiments and their comparison."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    Agent,
    InMemoryStorage,
    Mastra,
    SQLStorage,
    StepContext,
    ToolContext,
    create_step,
    create_workflow,
    tool,
)
from mastra.errors import (
    ConfigError,
    InputValidationError,
    NotFoundError,
    StorageError,
    WorkflowFailedError,
)
from mastra.evals import (
    Dataset,
    Experiment,
    Scorer,
    checks,
    compare_experiments,
    create_scorer,
    create_trajectory_accuracy_scorer_code,
    not_scorable,
    run_evals,
)
from mastra.evals.catalogue import Datasets
from mastra.evals.comparison import paired_test
from mastra.evals.workers import RowQueue
from mastra.observability import Observability
from mastra.processors import RegexFilter
from mastra.storage.evals import EvalFilter, EvalRecord, InMemoryEvals
from mastra.stream.abort import AbortController
from mastra.testing import FunctionModel, ScriptedModel, ToolCall

pytestmark = pytest.mark.anyio

ITEMS = [
    {"input": "one", "ground_truth": "ONE"},
    {"input": "two", "ground_truth": "two"},
    {"input": "three", "ground_truth": "THREE"},
]


def exact() -> Scorer:
    scorer = create_scorer(id="exact", description="Equal to the truth.")
    return scorer.generate_score(
        lambda ctx: float(ctx.run.output == ctx.run.ground_truth)
    ).generate_reason(lambda ctx: "equal" if ctx.score else "different")


async def upper(text: str) -> str:
    return text.upper()


async def test_an_experiment_that_has_ended_leaves_its_storage_alone(tmp_path: Path) -> None:
    storage = SQLStorage(f"sqlite:///{tmp_path}/evals.db")
    dataset = Dataset("d", ITEMS)
    experiment = Experiment("e", dataset=dataset, target=upper, storage=storage)
    tasks = asyncio.all_tasks()
    for name in ("first", "second"):
        assert (await experiment.run(name)).succeeded_count == 3
        assert asyncio.all_tasks() == tasks
    both = await asyncio.gather(experiment.run("third"), experiment.run("fourth"))
    assert [one.succeeded_count for one in both] == [3, 3]
    await storage.aclose()


# -- datasets --------------------------------------------------------------------------------------


async def test_items_have_the_same_ids_each_time(tmp_path: Path) -> None:
    rows = [{"input": "a", "groundTruth": "A"}, {"input": "a", "groundTruth": "A"}, {"input": "b"}]
    file = tmp_path / "words.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    first, second = Dataset.from_jsonl(file), Dataset.from_jsonl(file)
    assert [item.id for item in first] == [item.id for item in second]
    assert len({item.id for item in first}) == 3
    assert first.name == "words"
    assert first.items[0].ground_truth == "A"


async def test_a_dataset_comes_from_rows_of_any_form(tmp_path: Path) -> None:
    file = tmp_path / "cities.csv"
    file.write_text("input,ground_truth,land\nRome,Italy,it\nOslo,Norway,no\n", "utf-8")
    cities = Dataset.from_csv(file)
    assert [(one.input, one.ground_truth, one.metadata) for one in cities] == [
        ("Rome", "Italy", {"land": "it"}),
        ("Oslo", "Norway", {"land": "no"}),
    ]
    # A file with other columns says which is which; lines without anything are none.
    file.write_text("q,land\nRome,it\n\nOslo,no\n", "utf-8")
    other = Dataset.from_csv(file, input="q")
    assert [(one.input, one.metadata) for one in other] == [
        ("Rome", {"land": "it"}),
        ("Oslo", {"land": "no"}),
    ]
    with pytest.raises(InputValidationError, match="Item 0 has 'land', 'q', which no item has"):
        Dataset.from_csv(file)
    rows = [{"q": "2+2", "hint": "sum", "a": "4", "level": 1, "id": "sum"}]
    (item,) = Dataset.from_datasets(rows, name="sums", input=["q", "hint"], ground_truth="a")
    assert item.input == {"q": "2+2", "hint": "sum"}
    assert (item.id, item.ground_truth, item.metadata) == ("sum", "4", {"level": 1})
    with pytest.raises(InputValidationError, match=r"Row 0 has no column 'x'\. It has: 'q'"):
        Dataset.from_rows(rows, name="sums", input="x")
    with pytest.raises(InputValidationError, match="which no item has"):
        Dataset("d", [{"input": 1, "groundTrue": 2}])
    with pytest.raises(InputValidationError, match="needs one of input, inputs and turns"):
        Dataset("d", [{"ground_truth": 2}])
    with pytest.raises(InputValidationError, match="Two items have the id 'x'"):
        Dataset("d", [{"input": 1, "id": "x"}, {"input": 2, "id": "x"}])
    (tmp_path / "bad.jsonl").write_text('{"input": 1}\nno\n')
    with pytest.raises(InputValidationError, match="Line 2 of"):
        Dataset.from_jsonl(tmp_path / "bad.jsonl")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
async def test_a_file_of_json_is_read_as_json_says(tmp_path: Path, end: str, mark: str) -> None:
    # All of these may stand in a text of JSON as they are, and Python counts each as a line's end.
    texts = ["a\u2028b", "a\x85b", "a\u2029b", "größe 日本"]
    lines = [
        json.dumps({"input": text, "id": at}, ensure_ascii=False) for at, text in enumerate(texts)
    ]
    file = tmp_path / "odd.jsonl"
    file.write_bytes((mark + end.join(lines)).encode())
    assert [(item.input, item.id) for item in Dataset.from_jsonl(file)] == [
        (text, str(at)) for at, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", b'{"input": NaN}', "Line 1 of .*a.jsonl is no JSON: NaN is no JSON number"),
        ("a.jsonl", b'{"input": "sch\xf6n"}', "a.jsonl is no UTF-8, from byte 14 on"),
        ("a.jsonl", b'{"input": 1, "id": 7}\n{"input": 2, "id": "7"}', "Two items have the id '7'"),
        ("a.csv", b"input\nsch\xf6n", "a.csv is no UTF-8, from byte 9 on"),
        ("a.csv", b"input,a\n1,2\n1,2,3\n", "Line 3 of .*a.csv has 3 values for 2 columns"),
        ("a.csv", b"input,a\n1\n", "Line 2 of .*a.csv has 1 values for 2 columns"),
        ("a.csv", b"input,input\n1,2\n", "two columns that are called 'input'"),
    ],
)
async def test_what_is_wrong_with_a_file_is_told(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputValidationError, match=told):
        Dataset.from_csv(file) if name.endswith("csv") else Dataset.from_jsonl(file)


async def test_every_change_of_a_dataset_is_a_version() -> None:
    storage = InMemoryStorage()
    dataset = await Dataset("words", ITEMS, description="Words").save(storage)
    assert dataset.version == 1
    assert (await Dataset("words", ITEMS).save(storage)).version == 1  # nothing has changed
    changed = [{**ITEMS[0], "ground_truth": "1", "id": dataset.items[0].id}, ITEMS[2]]
    assert (await Dataset("words", changed).save(storage)).version == 2
    now = await Dataset.load(storage, "words")
    assert [(one.input, one.ground_truth) for one in now] == [("one", "1"), ("three", "THREE")]
    assert (now.version, now.description) == (2, "Words")
    then = await Dataset.load(storage, "words", version=1)
    assert [one.input for one in then] == ["one", "two", "three"]
    assert then.items == dataset.items
    history = await Datasets(storage.evals).history("words", dataset.items[0].id)
    assert [(row.version, row.valid_to) for row in history] == [(2, None), (1, 2)]
    with pytest.raises(NotFoundError, match="'words' has no version 3: its last is 2"):
        await Dataset.load(storage, "words", version=3)
    with pytest.raises(NotFoundError, match="Known: 'words'"):
        await Dataset.load(storage, "nothing")


# -- run_evals -------------------------------------------------------------------------------------


async def test_a_function_is_evaluated() -> None:
    told: list[str] = []
    summary = await run_evals(
        data=ITEMS,
        target=upper,
        scorers=[exact()],
        concurrency=2,
        on_item_complete=lambda item: told.append(item.item.input),
    )
    assert summary.scores == {"exact": 2 / 3}
    assert [item.scores["exact"] for item in summary.items] == [1, 0, 1]
    assert sorted(told) == ["one", "three", "two"]
    assert summary.verdict is None
    assert summary.total_items == 3


@pytest.mark.parametrize(
    ("threshold", "gates", "verdict"),
    [
        (0.6, (), "passed"),
        (0.7, (), "scored"),
        ({"max": 0.5}, (), "scored"),
        ({"min": 0.5, "max": 0.7}, (), "passed"),
        (0.6, ("gate",), "failed"),
    ],
)
async def test_gates_and_thresholds_give_a_verdict(
    threshold: Any, gates: Any, verdict: str
) -> None:
    gate = create_scorer(id="gate", description="").generate_score(
        lambda ctx: float(ctx.run.input != "two")
    )
    summary = await run_evals(
        data=ITEMS,
        target=upper,
        scorers=[{"scorer": exact(), "threshold": threshold}],
        gates=[gate] if gates else None,
    )
    assert summary.verdict == verdict
    assert [one.passed for one in summary.gate_results] == ([False] if gates else [])
    assert summary.threshold_results[0].passed == (verdict != "scored")


async def test_an_agent_is_evaluated_and_a_scorer_that_fails_hides_nothing() -> None:
    def fail(ctx: Any) -> float:
        raise ValueError("no")

    agent = Agent(
        id="echo",
        instructions="Echo.",
        model=FunctionModel(lambda request: request.messages[-1].text.upper()),
    )
    broken = create_scorer(id="broken", description="").generate_score(fail)
    summary = await run_evals(
        data=ITEMS, target=agent, scorers=[checks.includes("t", ignore_case=False), broken]
    )
    assert summary.scores == {"check-includes": 0.0, "broken": 0.0}
    broke = summary.rule_results[1]
    assert (broke.count, broke.errors) == (0, 3)
    answer = summary.items[0].answer
    assert answer is not None
    assert answer.value == "ONE"
    assert answer.input["systemMessages"] == [{"role": "system", "content": "Echo."}]


async def test_a_target_that_fails_fails_its_item_alone() -> None:
    async def picky(text: str) -> str:
        if text == "two":
            raise RuntimeError("not two")
        return text.upper()

    summary = await run_evals(data=ITEMS, target=picky, scorers=[exact()])
    assert [str(item.error) for item in summary.items] == ["None", "not two", "None"]
    assert (summary.verdict, summary.scores) == ("failed", {"exact": 1.0})


async def test_a_conversation_is_evaluated_turn_by_turn() -> None:
    agent = Agent(
        id="counts", model=FunctionModel(lambda request: f"heard {len(request.messages)}")
    )
    turns = [
        {"input": "a", "gates": [checks.includes("heard 1")]},
        {"input": "b", "gates": [checks.includes("heard 1")], "scorers": [checks.includes("3")]},
    ]
    summary = await run_evals(
        data=[{"turns": turns}, {"inputs": ["a", "b", "c"]}],
        target=agent,
        scorers=[checks.includes("heard")],
    )
    assert summary.verdict == "failed"
    found = [
        [(one.score, one.is_gate) for one in turn.rule_results] for turn in summary.turn_results
    ]
    assert found == [[(1, True)], [(1, False), (0, True)]]
    second = summary.items[1].answer
    assert second is not None
    assert second.value == ["heard 1", "heard 3", "heard 5"]
    assert len(second.output) == 3


class Value(BaseModel):
    value: int


async def test_a_workflow_is_evaluated_by_its_steps_and_its_path() -> None:
    async def double(value: Value) -> Value:
        return Value(value=value.value * 2)

    step = create_step(id="double", execute=double)
    flow = create_workflow(id="flow", input_schema=Value, output_schema=Value).then(step).commit()
    big = create_scorer(id="big", description="").generate_score(
        lambda ctx: float(ctx.run.output["value"] > 3)
    )
    path = create_trajectory_accuracy_scorer_code(expected_trajectory=[{"name": "double"}])
    summary = await run_evals(
        data=[{"input": {"value": 1}}, {"input": {"value": 2}}],
        target=flow,
        scorers={"workflow": [big], "trajectory": [path], "steps": {"double": [big]}},
    )
    assert summary.scores == {
        "big": 0.5,
        "code-trajectory-accuracy-scorer": 1.0,
        "double/big": 0.5,
    }


async def test_a_step_that_did_not_run_has_no_score_and_is_said() -> None:
    async def double(value: Value) -> Value:
        return Value(value=value.value * 2)

    step = create_step(id="double", execute=double)
    flow = create_workflow(id="flow", input_schema=Value, output_schema=Value).then(step).commit()
    summary = await run_evals(
        data=[{"input": {"value": 1}}],
        target=flow,
        scorers={"steps": {"halve": [create_scorer(id="s", description="")]}},
    )
    (grade,) = summary.items[0].grades
    assert (grade.score, grade.error) == (None, "step 'halve' did not run to its end")


async def test_a_scorer_of_trajectories_sees_the_steps_of_an_agent_wherever_it_is_given() -> None:
    def look(city: str) -> str:
        """Look."""
        return f"sunny in {city}"

    model = ScriptedModel(ToolCall("look", {"city": "Rome"}), "It is sunny.")
    path = create_trajectory_accuracy_scorer_code(
        expected_trajectory=[
            {"name": "look", "stepType": "tool_call", "toolArgs": {"city": "Rome"}}
        ],
        ordering="strict",
    )
    summary = await run_evals(
        data=[{"input": "Rome?"}], target=Agent(id="a", model=model, tools=[look]), scorers=[path]
    )
    assert summary.scores == {"code-trajectory-accuracy-scorer": 1.0}


async def test_an_agent_that_ends_with_an_error_fails_its_item() -> None:
    agent = Agent(id="a", model=FunctionModel(lambda _: ValueError("no such questions")))
    conversation = {"turns": [{"input": "a", "gates": [exact()]}, {"input": "b"}]}
    told: list[str] = []

    async def tell(item: Any) -> None:
        await asyncio.sleep(0)
        told.append(str(item.error))

    summary = await run_evals(
        data=[{"input": "one"}, conversation], target=agent, on_item_complete=tell
    )
    assert summary.verdict == "failed"
    assert len(told) == 2
    assert all("no such questions" in text for text in told), told
    assert summary.turn_results == []  # no turn of it gave an answer


def stopped(how: str) -> tuple[Agent, Any]:
    """Return an agent that ends without an answer, and the options that it is asked with."""
    controller = AbortController()

    async def answer(_: Any) -> Any:
        if how == "aborted":
            controller.abort()
        return ToolCall("pay" if how == "approval" else "ask", {"what": "shoes"})

    @tool
    async def ask(what: str, ctx: ToolContext) -> str:
        """Ask."""
        await ctx.suspend({"question": what})
        return what

    @tool(require_approval=True)
    async def pay(what: str) -> str:
        """Pay."""
        return what

    processors = [RegexFilter({"goods": "shoes"}, strategy="block")]
    agent = Agent(
        id="a",
        model=FunctionModel(answer),
        tools={"pay": pay, "ask": ask},
        input_processors=processors if how == "tripwire" else [],
    )
    return agent, {"abort_signal": controller.signal} if how == "aborted" else {}


STOPPED = {
    "tripwire": ("TRIPWIRE", "goods"),
    "approval": ("RUN_SUSPENDED", "'pay'"),
    "suspended": ("RUN_SUSPENDED", "'ask'"),
    "aborted": ("RUN_ABORTED", "'a'"),
}


@pytest.mark.parametrize("how", STOPPED)
async def test_an_agent_that_gave_no_answer_has_no_score(how: str) -> None:
    code, says = STOPPED[how]
    seen: list[Any] = []
    never = create_scorer(id="never", description="Must not be asked.").generate_score(
        lambda ctx: seen.append(ctx.run.output) or 1.0
    )
    agent, options = stopped(how)
    summary = await run_evals(
        data=[{"input": "Buy shoes."}],
        target=agent,
        scorers=[{"scorer": never, "threshold": 0.5}],
        target_options=options,
    )
    [item] = summary.items
    assert getattr(item.error, "code", None) == code
    assert says in str(item.error)
    assert (item.scores, summary.verdict) == ({"never": None}, "failed")

    agent, options = stopped(how)
    dataset = Dataset("d", [{"input": "Buy shoes."}])
    result = await Experiment(
        "e", dataset=dataset, target=agent, scorers=[never], target_options=options
    ).run()
    [row] = result.items
    assert (row.error or {})["code"] == code
    assert (row.scores, result.failed_count) == ({}, 1)
    assert seen == []


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("how", ["approval", "suspended"])
async def test_what_an_evaluation_leaves_waits_for_nobody(how: str, durable: bool) -> None:
    plain, _ = stopped(how)
    agent = Agent(id="a", model=plain.spec.model, tools=plain.spec.tools, durable=durable)
    mastra = Mastra(agents=[agent])
    kept = mastra.get_agent("a")
    one = create_scorer(id="one", description="One.").generate_score(lambda _: 1.0)
    summary = await run_evals(data=[{"input": "Buy shoes."}], target=kept, scorers=[one])
    assert getattr(summary.items[0].error, "code", None) == "RUN_SUSPENDED"
    assert (await kept.list_suspended_runs()).total == 0
    assert (await mastra.storage.workflows.list_runs("agent:a")).total == 0


async def test_a_durable_agent_is_evaluated_as_any() -> None:
    agent = Agent(id="a", model=ScriptedModel("yes"), durable=True)
    mastra = Mastra(agents=[agent])
    one = create_scorer(id="one", description="One.").generate_score(lambda _: 1.0)
    summary = await run_evals(data=[{"input": "q"}], target=mastra.get_agent("a"), scorers=[one])
    assert (summary.items[0].error, summary.scores) == (None, {"one": 1.0})


async def test_a_workflow_that_an_evaluation_leaves_waits_for_nobody() -> None:
    async def ask(ctx: StepContext[str]) -> str:
        return await ctx.suspend({"question": ctx.input_data})

    flow = create_workflow(id="w", input_schema=str, output_schema=str)
    flow.then(create_step(id="ask", input_schema=str, output_schema=str, execute=ask)).commit()
    one = create_scorer(id="one", description="One.").generate_score(lambda _: 1.0)
    mastra = Mastra(workflows=[flow])
    kept = mastra.get_workflow("w")
    summary = await run_evals(data=[{"input": "q"}], target=kept, scorers=[one])
    assert summary.items[0].error is not None
    assert [run.status for run in (await kept.list_runs()).runs] == ["canceled"]


async def test_what_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(ConfigError, match="no items"):
        await run_evals(data=[], target=upper)
    with pytest.raises(ConfigError, match="not a int"):
        await run_evals(data=ITEMS, target=7)
    with pytest.raises(ConfigError, match="is no scorer"):
        await run_evals(data=ITEMS, target=upper, scorers=["nothing"])
    with pytest.raises(ConfigError, match="Two scorers are called 'exact'"):
        await run_evals(data=ITEMS, target=upper, scorers=[exact(), exact()])
    with pytest.raises(ConfigError, match="A threshold is a number"):
        await run_evals(data=ITEMS, target=upper, scorers=[{"scorer": exact(), "threshold": "1"}])
    with pytest.raises(ConfigError, match="'whole'"):
        await run_evals(data=ITEMS, target=upper, scorers={"whole": [exact()]})
    summary = await run_evals(data=[{"inputs": ["a"]}], target=upper)
    assert "Only an agent" in str(summary.items[0].error)


# -- experiments -----------------------------------------------------------------------------------


async def test_an_experiment_is_stored_item_by_item() -> None:
    mastra = Mastra(scorers=[exact()])
    dataset = await Dataset("words", ITEMS).save(mastra)
    seen: list[str] = []
    experiment = Experiment(
        "upper",
        dataset=dataset,
        target=upper,
        scorers=["exact"],
        repeats=2,
        mastra=mastra,
        resource_id="ada",
    )
    result = await experiment.run(on_item_complete=lambda item: seen.append(item.item_id))
    assert (result.status, result.scores, result.verdict) == ("completed", {"exact": 2 / 3}, None)
    assert (result.total_items, result.succeeded_count, len(seen)) == (6, 6, 6)
    assert [(item.input, item.attempt) for item in result.items][:3] == [
        ("one", 0),
        ("one", 1),
        ("two", 0),
    ]
    assert result.items[2].reasons == {"exact": "different"}
    assert result.items[0].output == "ONE"
    scores = await mastra.storage.evals.list("score", EvalFilter(run_id=result.id))
    assert scores.total == 6
    row = scores.records[-1]
    assert row.data["entityId"] == dataset.items[0].id
    assert (row.data["source"], row.data["input"], row.resource_id) == ("TEST", "one", "ada")
    # It has ended, so it is read and not run.
    again = await experiment.run(result.id)
    assert len(seen) == 6
    assert again.items == result.items


async def test_each_item_has_a_trace_of_its_own() -> None:
    mastra = Mastra(
        agents=[Agent(id="echo", model=FunctionModel(lambda request: request.messages[-1].text))],
        observability=Observability(),
    )
    experiment = Experiment(
        "e", dataset=Dataset("d", ITEMS), target=mastra.get_agent("echo"), scorers=[exact()]
    )
    await experiment.run("x")
    rows = (await mastra.storage.evals.list("experiment_result")).records
    traces = {row.data["traceId"]: row.data["spanId"] for row in rows}
    assert len(traces) == 3
    await mastra.observability.flush()
    for trace_id, span_id in traces.items():
        root, *_ = await mastra.storage.observability.get_spans([trace_id])
        assert (root.kind, root.span_id, root.parent_id) == ("agent_run", span_id, None)


async def test_an_item_that_fails_is_tried_again_and_then_stored_as_failed() -> None:
    calls: list[str] = []

    async def picky(text: str) -> str:
        calls.append(text)
        if text == "two" or (text == "one" and calls.count("one") == 1):
            raise RuntimeError(f"not {text}")
        return text.upper()

    experiment = Experiment(
        "e", dataset=Dataset("d", ITEMS), target=picky, scorers=[exact()], max_retries=1
    )
    result = await experiment.run()
    assert sorted(calls) == ["one", "one", "three", "two", "two"]
    assert (result.failed_count, result.verdict, result.status) == (1, "failed", "completed")
    (failed,) = [item for item in result.items if item.error is not None]
    assert failed.error == {"message": "not two", "code": "RuntimeError"}
    assert failed.scores == {}


async def test_an_item_that_takes_too_long_fails() -> None:
    import anyio

    async def slow(text: str) -> str:
        await anyio.sleep_forever()
        return text

    experiment = Experiment(
        "e", dataset=Dataset("d", ITEMS[:1]), target=slow, scorers=[exact()], item_timeout_s=0.01
    )
    (item,) = (await experiment.run()).items
    assert item.error == {"message": "It took more than 0.01 s.", "code": "TimeoutError"}


@pytest.mark.parametrize("kept_in", ["memory", "file"])
async def test_an_experiment_that_failed_goes_on(tmp_path: Path, kept_in: str) -> None:
    calls: list[int] = []

    def target(number: int) -> int:
        calls.append(number)
        return number

    def stop(item: Any) -> None:
        if item.input == 2:
            raise ValueError("stopped here")

    storage = InMemoryStorage()
    if kept_in == "file":
        storage = SQLStorage(f"sqlite:///{tmp_path}/evals.db")
    dataset = Dataset("d", [{"input": number} for number in range(6)])
    experiment = Experiment("e", dataset=dataset, target=target, storage=storage, concurrency=1)
    with pytest.raises(WorkflowFailedError, match="stopped here"):
        await experiment.run("x", on_item_complete=stop)
    assert (await experiment.result("x")).status == "failed"
    # Whoever goes on with it may have another dataset by then: it is still the same experiment.
    more = Dataset("d", [*dataset.items, {"input": 6}])
    again = Experiment("e", dataset=more, target=target, storage=storage)
    result = await again.run("x")
    assert (result.status, len(result.items), result.succeeded_count) == ("completed", 6, 6)
    assert calls == [0, 1, 2, 3, 4, 5]
    await storage.aclose()


def of_scores(*given: Any) -> Scorer:
    """Return a scorer that gives what is given for item after item, or raises it."""

    async def score(ctx: Any) -> Any:
        found = given[int(ctx.run.input)]
        if isinstance(found, Exception):
            raise found
        return found

    return create_scorer(id="given", description="").generate_score(score)


@pytest.mark.parametrize(
    ("scores", "rule", "verdict"),
    [
        ((1, 1), "gate", "passed"),
        ((2, 0), "gate", "failed"),  # their mean is 1
        ((1, ValueError("no")), "gate", "failed"),
        ((not_scorable("why"), not_scorable("why")), "gate", "passed"),
        ((1, not_scorable("why")), "gate", "passed"),
        ((ValueError("no"), ValueError("no")), {"max": 0.5}, "scored"),
        ((0.4, ValueError("no")), {"max": 0.5}, "passed"),
        ((not_scorable("why"), ValueError("no")), 0, "scored"),
    ],
)
async def test_what_is_kept_and_what_is_not_are_judged_alike(
    scores: Any, rule: Any, verdict: str
) -> None:
    scorer = of_scores(*scores)
    options: Any = (
        {"gates": [scorer]}
        if rule == "gate"
        else {"scorers": [{"scorer": scorer, "threshold": rule}]}
    )
    items = [{"input": str(at)} for at in range(len(scores))]
    summary = await run_evals(data=items, target=str, **options)
    result = await Experiment("e", dataset=Dataset("d", items), target=str, **options).run()
    assert (summary.verdict, result.verdict) == (verdict, verdict)
    assert result.rule_results == summary.rule_results


async def test_two_runs_of_an_experiment_at_once_tell_their_own_items() -> None:
    experiment = Experiment("e", dataset=Dataset("d", ITEMS), target=upper)
    told: dict[str, list[str]] = {"a": [], "b": []}

    async def tell(item: Any) -> None:
        await asyncio.sleep(0)
        told["b"].append(item.input)

    await asyncio.gather(
        experiment.run("a", on_item_complete=lambda item: told["a"].append(item.input)),
        experiment.run("b", on_item_complete=tell),
        experiment.run("c"),
    )
    assert [sorted(one) for one in told.values()] == [["one", "three", "two"]] * 2


async def test_an_experiment_that_is_deleted_while_it_runs_is_not_there_at_its_end() -> None:
    storage = InMemoryStorage()

    async def target(text: str) -> str:
        await storage.evals.delete("experiment", ids=["x"])
        return text

    experiment = Experiment("e", dataset=Dataset("d", ITEMS), target=target, storage=storage)
    with pytest.raises(NotFoundError, match="x"):
        await experiment.run("x")
    assert (await storage.evals.list("experiment")).total == 0


async def test_only_the_attempts_of_an_experiment_count() -> None:
    calls: list[str] = []

    def target(text: str) -> str:
        calls.append(text)
        if text == "two":
            raise ValueError("no")
        return text

    experiment = Experiment("e", dataset=Dataset("d", ITEMS), target=target)
    name = await experiment.begin()
    item = experiment.dataset.items[1].id
    for attempt in (0, 7):  # one of its own, and one that somebody has run besides
        assert (await experiment.run_one(name, item, attempt)).error is not None
    await experiment.run(name)
    assert sorted(calls) == ["one", "three", "two", "two"]
    record = await experiment.storage.evals.get("experiment", name)
    assert [record.data[f"{what}Count"] for what in ("succeeded", "failed")] == [2, 1]


async def test_an_item_that_is_no_longer_there_has_failed_when_an_experiment_goes_on() -> None:
    storage = InMemoryStorage()

    def stop(_: Any) -> None:
        raise ValueError("stopped here")

    whole, rest = Dataset("d", ITEMS), Dataset("d", ITEMS[:2])
    options: Any = {"target": upper, "storage": storage, "concurrency": 1}
    with pytest.raises(WorkflowFailedError, match="stopped here"):
        await Experiment("e", dataset=whole, **options).run("x", on_item_complete=stop)
    result = await Experiment("e", dataset=rest, **options).run("x")
    assert (result.succeeded_count, result.failed_count) == (2, 1)
    gone = whole.items[2].id
    assert [item.error for item in result.items if item.item_id == gone] == [
        {"message": f"Item {gone!r} is no longer in the dataset.", "code": "NOT_FOUND"}
    ]


async def test_the_id_of_another_experiment_is_refused() -> None:
    storage = InMemoryStorage()
    dataset = Dataset("d", ITEMS)
    await Experiment("e", dataset=dataset, target=upper, storage=storage).run("x")
    for other in (
        Experiment("e", dataset=Dataset("o", ITEMS), target=upper, storage=storage),
        Experiment("e", dataset=dataset, target=str, storage=storage),
    ):
        with pytest.raises(ConfigError, match="Experiment 'x' is there already, with"):
            await other.run("x")


async def test_items_are_in_the_order_of_the_dataset_however_they_end() -> None:
    later = asyncio.Event()

    async def target(text: str) -> str:
        if text == "three":
            later.set()
        elif text == "one":
            await later.wait()
        return text

    experiment = Experiment("e", dataset=Dataset("d", ITEMS), target=target, repeats=2)
    items = (await experiment.run("x")).items
    assert [(item.input, item.attempt) for item in items] == [
        (text, attempt) for text in ("one", "two", "three") for attempt in (0, 1)
    ]


async def test_what_a_callback_raises_is_raised_as_it_is() -> None:
    def fail(item: Any) -> None:
        raise ZeroDivisionError(item.item.input)

    with pytest.raises(ZeroDivisionError, match="one"):
        await run_evals(data=ITEMS, target=upper, on_item_complete=fail, concurrency=3)


async def test_rows_that_cannot_be_stored_are_told_to_all_who_wait_for_them() -> None:
    class Refusing(InMemoryEvals):
        async def save(self, records: Any, **options: Any) -> bool:
            await asyncio.sleep(0)
            if any(record.kind == "experiment_result" for record in records):
                raise StorageError("The disk is full.")
            return await super().save(records, **options)

    queue = RowQueue(Refusing())
    rows = [EvalRecord("experiment_result", str(at)) for at in range(3)]
    told = await asyncio.gather(*(queue.put([row]) for row in rows), return_exceptions=True)
    assert [str(error) for error in told] == ["The disk is full."] * 3


async def test_rows_that_come_meanwhile_are_stored_together() -> None:
    batches: list[int] = []

    class Slow(InMemoryEvals):
        async def save(self, records: Any, **options: Any) -> bool:
            batches.append(len(records))
            await asyncio.sleep(0)
            return await super().save(records, **options)

    store = Slow()
    queue = RowQueue(store)
    rows = [EvalRecord("experiment_result", str(at)) for at in range(4)]
    await asyncio.gather(*(queue.put([row]) for row in rows))
    assert batches == [1, 3]
    assert (await store.list("experiment_result")).total == 4


async def test_two_experiments_are_compared() -> None:
    storage = InMemoryStorage()
    dataset = Dataset("d", [{"input": str(at), "ground_truth": str(at)} for at in range(20)])

    def target(wrong: range) -> Any:
        return lambda text: "x" if int(text) in wrong else text

    results = [
        await Experiment(
            name, dataset=dataset, target=target(wrong), scorers=[exact()], storage=storage
        ).run()
        for name, wrong in (("before", range(2, 14)), ("after", range(3)))
    ]
    found = compare_experiments(*results).scorers["exact"]
    inputs = {item.id: item.input for item in dataset}
    assert [inputs[name] for name in found.worse] == ["0", "1"]
    assert len(found.better) == 11
    assert len(found.same) == 7
    assert (found.baseline, found.candidate) == (0.4, 0.85)
    assert found.p_value == pytest.approx(0.0225, abs=0.0001)  # of 13 signs 2 or fewer, twice
    assert not found.is_chance()
    other = await Experiment("o", dataset=Dataset("o", ITEMS), target=upper).run()
    with pytest.raises(ConfigError, match="no item in common"):
        compare_experiments(results[0], other)


async def test_what_has_no_score_is_compared_with_nothing() -> None:
    dataset = Dataset("d", [{"input": str(at)} for at in range(3)])
    before, after = [
        await Experiment(name, dataset=dataset, target=str, scorers=[of_scores(*scores)]).run()
        for name, scores in (
            ("before", (0.5, not_scorable("why"), 1)),
            ("after", (1, 1, ValueError("no"))),
        )
    ]
    found = compare_experiments(before, after).scorers["given"]
    assert (list(found.better), list(found.worse), list(found.same)) == (
        [dataset.items[0].id],
        [],
        [],
    )


async def test_the_paired_test_knows_chance() -> None:
    assert paired_test([]) == 1
    assert paired_test([0.0, 0.0]) == 1
    assert paired_test([0.3]) == 1
    assert paired_test([1, 1, 1, 1, 1]) == 2 / 32
    assert paired_test([1, -1]) == 1
    assert paired_test([0.5] * 10) == 2 / 1024
    assert paired_test([0.1] * 40) < 0.001
    assert paired_test([0.1, -0.1] * 30) > 0.9
    assert paired_test([0.1] * 40) == paired_test([0.1] * 40)


async def test_what_cannot_be_an_experiment_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no items"):
        Experiment("e", dataset=Dataset("d"), target=upper)
    with pytest.raises(ConfigError, match="concurrency is 0"):
        Experiment("e", dataset=Dataset("d", ITEMS), target=upper, concurrency=0)
    with pytest.raises(ConfigError, match="the same id"):
        Experiment("e", dataset=Dataset("d", ITEMS), target=upper, scorers=[exact(), exact()])
