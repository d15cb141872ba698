"""Messages of several workers of one run, of which some do not arrive."""

from __future__ import annotations

from mastra.inngest.held_back import HELD, HeldBack, Told
from mastra.inngest.kept_events import KeptEvents, of_operation
from mastra.workflows.events import Event


def message(op: str, seq: int, *after: tuple[int, str], log: str = "log") -> Told:
    event = Event("workflow-step-output", "run", "USER", seq, None, {"name": f"{op}{seq}"})
    return Told([event], log, [op], after)


class Reader:
    def __init__(self) -> None:
        self.kept, self.held = KeptEvents(0), HeldBack()

    @property
    def names(self) -> list[str]:
        return [found.data["name"] for place in self.kept if (found := self.kept.get(place))]

    def hear(self, told: Told) -> None:
        if not self.held.take(told, self.kept):
            self.put(told)

    def put(self, told: Told) -> None:
        for event, op in zip(told.events, told.ops or (), strict=True):
            self.kept.tell(event, of_operation(op))

    def find_stored(self, op: str, seq: int) -> None:
        event = message(op, seq).events[0]
        self.kept.take_stored(event, op)
        for told in self.held.release(self.kept):
            self.put(told)


def test_what_comes_after_a_lost_message_waits_for_storage() -> None:
    reader = Reader()
    # Another worker's events have the places that the lost ones would be missed at.
    for seq in range(4):
        reader.hear(message("b", seq, *[(seq - 1, "b")][: seq > 0], log="other"))
    reader.hear(message("a", 2, (1, "a")))
    reader.hear(message("a", 3, (2, "a")))
    assert reader.names == ["b0", "b1", "b2", "b3"]
    reader.find_stored("a", 0)
    assert reader.held
    reader.find_stored("a", 1)
    assert not reader.held
    assert reader.names == ["b0", "b1", "b2", "b3", "a0", "a1", "a2", "a3"]
    assert reader.held.waits_s == 0


def test_what_storage_brings_meanwhile_is_not_told_again() -> None:
    reader = Reader()
    reader.hear(message("a", 2, (1, "a")))
    for seq in range(4):
        reader.find_stored("a", seq)
    reader.hear(message("a", 3, (2, "a")))
    assert sorted(reader.names) == ["a0", "a1", "a2", "a3"]


def test_another_log_is_not_held_up() -> None:
    reader = Reader()
    reader.hear(message("a", 1, (0, "a")))
    reader.hear(message("b", 0, log="other"))
    reader.hear(message("b", 1, (0, "b"), log="other"))
    assert reader.names == ["b0", "b1"]
    assert reader.held.waits_s > 0


def test_a_step_waits_for_the_end_that_another_worker_told_of_the_step_before() -> None:
    reader = Reader()
    reader.hear(message("second", 3, (2, "first"), log="other"))
    assert reader.names == []
    reader.find_stored("first", 2)
    assert sorted(reader.names) == ["first2", "second3"]


def test_events_that_are_no_longer_kept_are_not_waited_for() -> None:
    reader = Reader()
    reader.kept = KeptEvents(10)
    reader.hear(message("a", 10, (9, "a")))
    assert reader.names == ["a10"]


def test_not_more_than_so_many_are_held() -> None:
    reader = Reader()
    for seq in range(2, HELD + 3):
        reader.hear(message("a", seq, (seq - 1, "a")))
    told = reader.held.give_up()
    assert len(told) == HELD
    assert told[-1].events[0].seq == HELD + 2
    assert not reader.held


def test_the_wait_counts_from_the_log_that_was_held_up_first() -> None:
    reader = Reader()
    reader.hear(message("a", 1, (0, "a")))
    since = reader.held._since
    reader.hear(message("b", 1, (0, "b"), log="other"))
    assert reader.held._since == since
    reader.find_stored("b", 0)
    assert (reader.names, bool(reader.held)) == (["b0", "b1"], True)
    assert [told.by for told in reader.held.give_up()] == ["log"]
