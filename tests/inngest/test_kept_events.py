"""Places of events that several workers tell of one run."""

from __future__ import annotations

from mastra.inngest.kept_events import KEPT, KeptEvents, of_operation
from mastra.workflows.events import Event


def event(seq: int, name: str = "x", type_: str = "workflow-step-output") -> Event:
    return Event(type_, "run", "USER", seq, None, {"name": name})


def names(kept: KeptEvents) -> list[str]:
    return [found.data["name"] for place in sorted(kept) if (found := kept.get(place))]


def test_the_same_event_from_the_same_log_is_one() -> None:
    kept = KeptEvents(0)
    assert kept.tell(event(0), "log") is not None
    assert kept.tell(event(0), "log") is None
    assert kept.take_stored(event(0), "op") is None


def test_two_operations_with_the_same_seqs_both_have_places() -> None:
    kept = KeptEvents(0)
    told = [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 2)]
    places = [kept.tell(event(seq, f"{op}{seq}"), of_operation(op)) for op, seq in told]
    assert [found.seq for found in places if found] == [0, 1, 2, 3, 4]
    assert kept.newest == 4
    assert all(kept.tell(event(seq), of_operation(op)) is None for op, seq in told)


def test_what_storage_knows_beside_it_is_found_out() -> None:
    kept = KeptEvents(0)
    kept.tell(event(0, "b0"), of_operation("b"))
    kept.tell(event(1, "a1"), of_operation("a"))
    for op, seq in (("a", 0), ("b", 0), ("a", 1), ("b", 1)):
        kept.take_stored(event(seq, f"{op}{seq}"), op)
    assert sorted(names(kept)) == ["a0", "a1", "b0", "b1"]
    assert list(kept) == [0, 1, 2, 3]
    assert kept.tell(event(0, "a0"), of_operation("a")) is None
    assert kept.tell(event(1, "b1"), of_operation("b")) is None


def test_what_was_read_from_storage_first_is_not_told_again() -> None:
    kept = KeptEvents(0)
    kept.take_stored(event(0, "a0"), "a")
    assert kept.tell(event(0, "a0"), "log") is None
    assert kept.tell(event(0, "a0"), of_operation("a")) is None
    found = kept.tell(event(0, "b0"), of_operation("b"))
    assert found is not None
    assert found.seq == 1


def test_a_worker_in_place_of_one_that_died_is_heard() -> None:
    kept = KeptEvents(0)
    for seq in range(4):  # the last two are not in storage
        kept.tell(event(seq, f"old{seq}"), "old")
    for seq in (2, 3):
        kept.tell(event(seq, f"new{seq}"), "new")
    assert names(kept) == ["old0", "old1", "old2", "old3", "new2", "new3"]
    for seq, name in enumerate(["old0", "old1", "new2", "new3"]):
        assert kept.take_stored(event(seq, name), "op") is None


def test_a_gap_that_the_stored_log_has_closed_is_none_for_readers() -> None:
    kept = KeptEvents(0)
    for place, (told, op) in enumerate([(0, ""), (2, "a"), (3, "b"), (3, "a")]):
        kept.take_stored(event(place, f"{op}{told}"), op, told)
    assert names(kept) == ["0", "a2", "b3", "a3"]
    assert list(kept) == [0, 1, 2, 3]


def test_a_start_that_both_told_is_one() -> None:
    kept = KeptEvents(0)
    kept.tell(event(0, type_="workflow-start"), "old")
    assert kept.tell(event(0, type_="workflow-start"), "new") is None


def test_not_more_than_so_many_are_kept() -> None:
    kept = KeptEvents(0)
    for seq in range(KEPT + 1):
        kept.tell(event(seq), "log")
    assert len(kept) <= KEPT
    assert KEPT in kept
    assert 0 not in kept
