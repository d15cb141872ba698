"""What both the original and we score: every built-in scorer, with answers of a scripted judge."""

from __future__ import annotations

import random
from typing import Any

from mastra.evals import create_agent_test_run, create_test_message, create_tool_invocation

TEXTS = [
    "",
    "Rome",
    "The capital of France is Paris, and it has about two million people.",
    "Paris is the capital of France. Paris has roughly 2 million inhabitants!",
    "I don't know; she didn't walk, and they weren't running to the shops.",
    "The children were quickly running to the old barn. They bought five red apples.",
    "He has been thinking about what Müller's café sold in São Paulo last year…",
    "Great news! This is a wonderful, amazing product. I love it. But shipping was terrible.",
    "not good. can't recommend this awful, horrible thing? It is not bad.",
    "constructor happy",
    "See https://example.com/a,b or <b>bold</b> text: (c) 2024, 42 items; “quoted” 'word'.",
    "😀 Emoji 😀 count twice 👍🏽, and so do \U0001d4bb\U0001d4b6\U0001d4c3\U0001d4b8\U0001d4ce letters",
    "line one\nline two\ttabbed   spaced\u00a0hard",
    "A! B! C?",
    "The committee decided that the proposals which had been submitted would be reviewed.",
    "Visiting relatives can be boring, flying planes are dangerous, and cooking is fun.",
    "Machine learning models trained on large datasets generalise better than smaller ones.",
    "Kochen, tanzen und singen sind schöne Beschäftigungen.",
]

QUESTION = "What is the capital of France?"


def message(text: str, role: str = "assistant", calls: Any = ()) -> dict[str, Any]:
    return create_test_message(content=text, role=role, tool_invocations=calls, id="m")


def call(name: str, *, state: str = "result", args: Any = None, result: Any = None, **more: Any):
    return create_tool_invocation(
        tool_call_id=more.pop("id", f"call-{name}"),
        tool_name=name,
        args=args,
        result={"ok": True} if result is None and state == "result" else result,
        state=state,
        **more,
    )


def run(given: str, answer: str, calls: Any = (), **fields: Any) -> dict[str, Any]:
    return create_agent_test_run(
        input_messages=[message(given, "user")],
        output=[message(answer, calls=calls)],
        runId="run",
        **fields,
    )


def _case(name: str, scorer: str, about: Any, answers: Any = None, **args: Any) -> dict[str, Any]:
    positional = args.pop("positional", None)
    return {
        "name": name,
        "scorer": scorer,
        "args": args or None,
        "positional": positional,
        "run": about,
        "answers": answers,
    }


def _code() -> list[dict[str, Any]]:
    scorers = {
        "createCompletenessScorer": {},
        "createTextualDifferenceScorer": {},
        "createKeywordCoverageScorer": {},
        "createContentSimilarityScorer": {},
        "createToneScorer": {},
    }
    found: list[dict[str, Any]] = []
    rng = random.Random(7)
    pairs = [(one, one) for one in TEXTS] + [(rng.choice(TEXTS), one) for one in TEXTS * 2]
    for at, (given, answer) in enumerate(pairs):
        found += [
            _case(f"{scorer} {at}", scorer, run(given, answer), **args)
            for scorer, args in scorers.items()
        ]
        found.append(
            _case(
                f"similarity strict {at}",
                "createContentSimilarityScorer",
                run(given, answer),
                ignoreCase=False,
                ignoreWhitespace=False,
            )
        )
        found.append(
            _case(
                f"tone of {at}", "createToneScorer", run("", answer), referenceTone=given or "fine"
            )
        )
    several = create_agent_test_run(
        input_messages=[message("Walk the dog", "user"), message("and feed her", "user")],
        output=[message("I walked it."), message("It was fed.")],
        runId="run",
    )
    return found + [_case(f"{name} several", name, several) for name in scorers]


def _checks() -> list[dict[str, Any]]:
    calls = [call("search"), call("read", id="2"), call("search", id="3")]
    failed = [call("save", state="output-error", error_text="no"), call("save", id="2")]
    soft = [call("save", is_error=True), call("look", result={"error": "none"}, id="2")]
    about = run("find it", "Found in Paris", calls)
    found = [
        _case("includes", "includes", about, positional=["PARIS"]),
        _case("includes case", "includes", about, positional=["PARIS", {"ignoreCase": False}]),
        _case("excludes", "excludes", about, positional=["London"]),
        _case("excludes not", "excludes", about, positional=["paris"]),
        _case("equals", "equals", about, positional=["found in paris"]),
        _case("similarity", "similarity", about, positional=["lost in paris"]),
        _case("threshold", "similarity", about, positional=["lost in paris", {"threshold": 0.9}]),
        _case("called", "calledTool", about, positional=["search", {"times": 2}]),
        _case("called thrice", "calledTool", about, positional=["search", {"times": 3}]),
        _case("did not call", "didNotCall", about, positional=["read"]),
        _case("order", "toolOrder", about, positional=[["search", "search"]]),
        _case("order not", "toolOrder", about, positional=[["read", "read"]]),
        _case("max", "maxToolCalls", about, positional=[2]),
        _case("no tools", "usedNoTools", about, positional=[]),
    ]
    for at, made in enumerate((calls, failed, soft, [call("go", state="call")], [])):
        found.append(_case(f"errors {at}", "noToolErrors", run("a", "b", made), positional=[]))
    for at, made in enumerate((calls, [call("search")], [])):
        about = run("find it", "done", made)
        for strict in (False, True):
            args: dict[str, Any] = {"strictMode": strict}
            name = "createToolCallAccuracyScorerCode"
            found += [
                _case(f"tool {at} {strict}", name, about, expectedTool="search", **args),
                _case(
                    f"tools {at} {strict}",
                    name,
                    about,
                    expectedToolOrder=["search", "read"],
                    **args,
                ),
            ]
    return found


def step(name: str, **fields: Any) -> dict[str, Any]:
    return {"stepType": "tool_call", "name": name, **fields}


STEPS: list[list[dict[str, Any]]] = [
    [],
    [step("a"), step("b"), step("c")],
    [step("b"), step("a"), step("c")],
    [step("a"), step("a"), step("x"), step("b"), step("c")],
    [step("a", toolArgs={"q": 1, "r": 2.0}), step("a", toolArgs={"q": 1, "r": 2.0}), step("c")],
    [step("a", success=False), step("a", success=False), step("a", success=False), step("b")],
    [
        {
            "stepType": "agent_run",
            "name": "sub",
            "durationMs": 30,
            "children": [step("a", success=False), step("a", success=False), step("bad")],
        },
        {"stepType": "model_generation", "name": "m", "promptTokens": 50, "completionTokens": 9},
        step("a", durationMs=5),
    ],
]
EXPECTED: list[list[dict[str, Any]]] = [
    [],
    [{"name": "a"}, {"name": "b"}, {"name": "c"}],
    [step("a", toolArgs={"q": 1, "r": 2}), {"name": "c"}],
    [step("a", toolArgs={"r": 2, "q": 1}), step("b")],
    [
        {
            "name": "sub",
            "children": {
                "steps": [{"name": "a"}, {"name": "bad", "children": {"steps": [{"name": "z"}]}}],
                "maxSteps": 2,
                "ordering": "strict",
            },
        },
        {"name": "gone", "children": {"steps": [{"name": "a"}]}},
        {"name": "a"},
    ],
    [{"name": "sub", "children": {"blacklistedTools": ["bad"]}}, {"name": "a"}],
]
CONFIGS: list[dict[str, Any]] = [
    {},
    {"maxSteps": 2, "noRedundantCalls": True},
    {"maxSteps": 0},
    {"noRedundantCalls": False, "maxSteps": 1, "allowRepeatedSteps": False},
    {"blacklistedTools": ["x"], "blacklistedSequences": [["a", "b", "c"]]},
    {"blacklistedTools": ["nothing"], "maxRetriesPerTool": 0},
    {"maxTotalTokens": 20, "maxTotalDurationMs": 100},
]


def _trajectories() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for at, steps in enumerate(STEPS):
        about: dict[str, Any] = {"input": "go", "output": {"steps": steps}, "runId": "run"}
        for place, expected in enumerate(EXPECTED):
            for ordering in ("strict", "relaxed", "unordered"):
                options = {"ordering": ordering, "allowRepeatedSteps": place % 2 == 0}
                found.append(
                    _case(
                        f"steps {at} {place} {ordering}",
                        "createTrajectoryAccuracyScorerCode",
                        about,
                        expectedTrajectory=expected,
                        comparisonOptions=options,
                    )
                )
            for number, config in enumerate(CONFIGS):
                found.append(
                    _case(
                        f"sides {at} {place} {number}",
                        "createTrajectoryScorerCode",
                        {**about, "expectedTrajectory": config},
                        defaults={"steps": expected},
                        weights={"efficiency": 0.5} if number % 2 else {},
                    )
                )
        for number, config in enumerate(CONFIGS):
            found.append(
                _case(
                    f"config {at} {number}",
                    "createTrajectoryScorerCode",
                    {**about, "expectedTrajectory": config},
                )
            )
        of_item = {**about, "expectedTrajectory": {"steps": EXPECTED[1], "ordering": "strict"}}
        found.append(_case(f"of item {at}", "createTrajectoryAccuracyScorerCode", of_item))
    return found


def _judged() -> list[dict[str, Any]]:  # noqa: PLR0915 - one row after the other
    rng = random.Random(11)
    about = run(QUESTION, TEXTS[2], groundTruth="Paris")
    found: list[dict[str, Any]] = []

    def add(scorer: str, stages: list[Any], at: int, of: Any = None, **args: Any) -> None:
        found.append(_case(f"{scorer} {at}", scorer, of or about, [*stages, "because"], **args))

    def words(key: str, *fields: str, values: list[str], count: int, **more: Any) -> Any:
        return {
            key: [
                {**dict.fromkeys(fields, "r"), **more, "reason": "r", **_pick(rng, values, at)}
                for at in range(count)
            ]
        }

    def _pick(source: random.Random, values: list[str], at: int) -> dict[str, Any]:
        name, _, options = values[0].partition("=")
        return {name: source.choice(options.split("|"))}

    for at, count in enumerate((0, 1, 2, 3, 5, 7, 11)):
        items = [f"item {number}" for number in range(count)]
        args: dict[str, Any] = {"options": {"scale": 10}} if at % 3 == 2 else {}
        relevant = words("results", values=["result=yes|Yes |unsure|no"], count=count)
        relevancy = {"options": {"uncertaintyWeight": 0.5, "scale": 5}} if at % 2 else {}
        add("createAnswerRelevancyScorer", [{"statements": items}, relevant], at, **relevancy)
        verdicts = words("verdicts", values=["verdict=yes|no|unsure|YES"], count=count)
        faithful = {"options": {"context": ["Paris is big."], "scale": 3}} if at % 2 else {}
        add("createFaithfulnessScorer", [{"claims": items}, verdicts], at, **faithful)
        hallucinated = words("verdicts", "statement", values=["verdict=yes|no"], count=count)
        context = {"options": {"context": ["Paris."], "scale": 1 + at}}
        add("createHallucinationScorer", [{"claims": items}, hallucinated], at, **context)
        biased = words("results", values=["result=yes|Yes|no"], count=count)
        add("createBiasScorer", [{"opinions": items}, biased], at, **args)
        toxic = words("verdicts", values=["verdict=yes| YES|no"], count=count)
        add("createToxicityScorer", [toxic], at, **args)
        recall = {"options": {"context": ["a", "b"], "scale": 2}}
        add("createContextRecallScorer", [{"claims": items}, verdicts], at, **recall)
        add(
            "createContextRecallScorer",
            [{"claims": items[: count // 2]}, verdicts],
            at + 100,
            **recall,
        )
        places = [*range(count)]
        rng.shuffle(places)
        precise = {
            "verdicts": [
                {"context_index": place, "verdict": rng.choice(["yes", "no"]), "reason": "r"}
                for place in places
            ]
        }
        add("createContextPrecisionScorer", [precise], at, **recall)
        levels = ["high", "medium", "low", "none"]
        relevance: dict[str, Any] = {
            "evaluations": [
                {
                    "context_index": place,
                    "contextPiece": "c",
                    "relevanceLevel": rng.choice(levels),
                    "wasUsed": rng.random() < 0.5,
                    "reasoning": "r",
                }
                for place in places
            ],
            "missingContext": items[: at % 3],
            "overallAssessment": "o",
        }
        penalties = {"unusedHighRelevanceContext": 0.2, "missingContextPerItem": 0.3}
        options: dict[str, Any] = {"context": ["a"], "scale": 4}
        add("createContextRelevanceScorerLLM", [relevance], at, options=options)
        options = {**options, "penalties": penalties}
        add("createContextRelevanceScorerLLM", [relevance], at + 100, options=options)
        kinds = ["exact", "semantic", "partial", "missing"]
        matches = [
            {
                "groundTruthUnit": "g",
                "outputUnit": None,
                "matchType": rng.choice(kinds),
                "explanation": "e",
            }
            for _ in items
        ]
        wrong = [{"outputUnit": "o", "groundTruthUnit": "g", "explanation": "e"}]
        similar: dict[str, Any] = {
            "matches": matches,
            "extraInOutput": items,
            "contradictions": wrong if at == 4 else [],
        }
        units = {"outputUnits": items, "groundTruthUnits": items}
        add("createAnswerSimilarityScorer", [units, similar], at)
        softer = {"options": {"contradictionPenalty": 0.1, "missingPenalty": 0.3, "scale": 10}}
        add("createAnswerSimilarityScorer", [units, similar], at + 100, **softer)
        add(
            "createAnswerSimilarityScorer",
            [units, similar],
            at + 200,
            run(QUESTION, "x"),
            options={"requireGroundTruth": False},
        )
        impacts = ["none", "minimal", "moderate", "significant", "severe"]
        noise: dict[str, Any] = {
            "dimensions": [
                {
                    "dimension": "d",
                    "impactLevel": rng.choice(impacts),
                    "specificChanges": "s",
                    "noiseInfluence": "n",
                }
                for _ in items
            ],
            "overallAssessment": "o",
            "majorIssues": items[: at % 4],
            "robustnessScore": rng.choice([0.1, 0.5, 0.83, 1.2]),
        }
        noisy: dict[str, Any] = {"baselineResponse": "Paris", "noisyQuery": "capital?! cats"}
        add("createNoiseSensitivityScorerLLM", [noise], at, options=noisy)
        scoring = {
            "impactWeights": {"moderate": 0.9},
            "penalties": {"majorIssuePerItem": 0.2, "maxMajorIssuePenalty": 0.5},
            "discrepancyThreshold": 0.0,
        }
        noisy = {**noisy, "scoring": scoring}
        add("createNoiseSensitivityScorerLLM", [noise], at + 100, options=noisy)
        figures = [round(rng.random(), 3) for _ in range(4)]
        aligned = {
            "intentAlignment": {
                "score": figures[0],
                "primaryIntent": "p",
                "isAddressed": True,
                "reasoning": "r",
            },
            "requirementsFulfillment": {"requirements": [], "overallScore": figures[1]},
            "completeness": {"score": figures[2], "missingElements": [], "reasoning": "r"},
            "responseAppropriateness": {
                "score": figures[3],
                "formatAlignment": True,
                "toneAlignment": False,
                "reasoning": "r",
            },
            "overallAssessment": "o",
        }
        told = create_agent_test_run(
            input_messages=[message(QUESTION, "user")],
            system_messages=[{"role": "system", "content": "Be short."}],
            output=[message("Paris.")],
            runId="run",
        )
        for place, mode in enumerate(("user", "system", "both")):
            wanted = {"evaluationMode": mode, "scale": 1 + at}
            add("createPromptAlignmentScorerLLM", [aligned], at * 10 + place, told, options=wanted)
        used = {
            "evaluations": [
                {"toolCalled": "t", "wasAppropriate": rng.random() < 0.6, "reasoning": "r"}
                for _ in items
            ],
            "missingTools": items[: at % 2],
        }
        tools = [{"id": "search", "description": "Finds."}]
        acted = run(QUESTION, "Paris", [call("search")])
        add("createToolCallAccuracyScorerLLM", [used], at, acted, availableTools=tools)
        taken: dict[str, Any] = {
            "stepEvaluations": [
                {
                    "stepName": "s",
                    "wasNecessary": rng.random() < 0.7,
                    "wasInOrder": rng.random() < 0.7,
                    "reasoning": "r",
                }
                for _ in items
            ],
            "missingSteps": items[: at % 3],
            "extraSteps": items[: at % 2],
            "overallAssessment": "o",
        }
        walked = {
            "input": QUESTION,
            "output": {"steps": STEPS[1], "rawOutput": [message("done")]},
            "runId": "run",
        }
        add("createTrajectoryAccuracyScorerLLM", [taken], at, walked)
        add(
            "createTrajectoryAccuracyScorerLLM",
            [taken],
            at + 100,
            walked,
            expectedTrajectory=EXPECTED[4],
        )
        supported = {
            "alignment": [
                {"claim": "c", "supported": rng.random() < 0.7, "reason": "r"} for _ in items
            ],
            "questions": [*items, "one more"],
        }
        covered = {
            "coverage": [
                {"question": "q", "answered": rng.random() < 0.6, "reason": "r"} for _ in items
            ]
        }
        summed = {"options": {"maxQuestions": 4, "scale": 2}} if at % 2 else {}
        add("createSummarizationScorer", [supported, covered], at, **summed)
    for at, shown in enumerate(
        ([], [True], [True, False], [False], [True, True]),
    ):
        criteria = [
            {"criterion": "c", "satisfied": met, "required": place != 1, "reasoning": "r"}
            for place, met in enumerate(shown)
        ]
        verdict = {"criteria": criteria, "overallAssessment": "o"}
        found.append(
            _case(
                f"createRubricScorer {at}",
                "createRubricScorer",
                about,
                [verdict],
                criteria="- be right\n2) be short",
                options={"scale": 1 + at},
            )
        )
        found.append(
            _case(
                f"createMultiTurnJudgeScorer {at}",
                "createMultiTurnJudgeScorer",
                about,
                [{"satisfied": bool(shown and shown[0]), "reasoning": "r"}],
                criterion="It names a city.",
                options={"scale": 1 + at},
            )
        )
    return found


def cases() -> list[dict[str, Any]]:
    """Return every case: a name, a scorer, its options, what it scores, what the judge says."""
    return [*_code(), *_checks(), *_trajectories(), *_judged()]
