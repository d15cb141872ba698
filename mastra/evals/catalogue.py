"""Datasets in a storage: every change is a new version, and what an item was stays known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mastra.clock import now_ms
from mastra.errors import NotFoundError, StorageError
from mastra.evals.dataset_schemas import DatasetSchemas
from mastra.evals.experiment_scores import scores_of
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.storage.evals import EvalFilter, EvalGuard, EvalPage, EvalRecord, EvalStore

__all__ = ["Changes", "Datasets"]

_TRIES: Final = 20
"""How often a change is put together anew that somebody else's came before."""


@dataclass(slots=True)
class Changes:
    """What a new version of a dataset changes."""

    about: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Fields of the dataset itself; `None` removes one."""
    items: Mapping[str, dict[str, Json]] = field(default_factory=dict[str, "dict[str, Json]"])
    """Items by id, as they are from now on."""
    removed: Collection[str] = ()
    """The ids of items that are no longer there."""


class Datasets:
    """The datasets of an application."""

    def __init__(self, store: EvalStore) -> None:
        self._store = store

    # -- datasets ------------------------------------------------------------------------------

    async def create(
        self,
        fields: Mapping[str, Json],
        *,
        dataset_id: str | None = None,
        resource_id: str | None = None,
    ) -> EvalRecord:
        """Make a dataset without items.

        Args:
            fields: `name`, `description`, `metadata` and so on, as the wire has them.
            dataset_id: Its id; left out, a new one.
            resource_id: Whose it is.

        Raises:
            InputValidationError: One of its schemas cannot be checked.
        """
        DatasetSchemas(fields)
        record = EvalRecord(
            "dataset",
            dataset_id or new_id(),
            {key: value for key, value in fields.items() if value is not None},
            resource_id=resource_id,
        )
        await self._store.save([record])
        return await self.get(record.id)

    async def get(self, dataset_id: str) -> EvalRecord:
        """Return a dataset.

        Raises:
            NotFoundError: There is none.
        """
        found = await self._store.get("dataset", dataset_id)
        if found is None:
            raise NotFoundError(f"Dataset not found: {dataset_id}", details={"id": dataset_id})
        return found

    async def find(self, name: str) -> EvalRecord:
        """Return the dataset with an id, or else the newest with a name.

        Raises:
            NotFoundError: There is none; the message lists those there are.
        """
        found = await self._store.get("dataset", name)
        if found is not None:
            return found
        known = await self._store.list("dataset")
        for record in known.records:
            if record.data.get("name") == name:
                return record
        names = ", ".join(repr(record.data.get("name")) for record in known.records) or "none"
        raise NotFoundError(f"There is no dataset {name!r}. Known: {names}.")

    async def list(self, resource_id: str | None = None) -> list[EvalRecord]:
        """Return the datasets, the newest first."""
        return (await self._store.list("dataset", EvalFilter(resource_id=resource_id))).records

    async def delete(self, dataset_id: str) -> None:
        """Delete a dataset with its items. Its experiments stay, and belong to none then."""
        await self.get(dataset_id)
        for kind in ("dataset_item", "dataset_version"):
            await self._store.delete(kind, parent_id=dataset_id)
        page = await self._store.list("experiment", EvalFilter(parent_id=dataset_id))
        left = [
            replace(record, parent_id=None, data={**record.data, "datasetId": None})
            for record in page.records
        ]
        await self._store.save(left)
        await self._store.delete("dataset", ids=[dataset_id])

    async def update(self, dataset_id: str, fields: Mapping[str, Json]) -> EvalRecord:
        """Change what a dataset is called and so on, without a new version of its items.

        Raises:
            InputValidationError: A schema cannot be checked, or items do not fit it.
        """
        return await self._change(dataset_id, Changes(fields))

    async def replace(
        self, dataset_id: str, fields: Mapping[str, Json], items: Mapping[str, dict[str, Json]]
    ) -> EvalRecord:
        """Make a dataset have these items and no others; where it has, nothing is changed."""
        if await self._store.get("dataset", dataset_id) is None:
            await self.create(fields, dataset_id=dataset_id)

        async def plan() -> Changes:
            there = {str(row.subject) for row in await self.items(dataset_id)}
            return Changes(fields, items, there - items.keys())

        return await self._change(dataset_id, plan)

    # -- items ---------------------------------------------------------------------------------

    async def items(self, dataset_id: str, *, version: int | None = None) -> list[EvalRecord]:
        """Return the items in the order in which they came, as they are or as they were.

        Raises:
            NotFoundError: There is no such dataset, or it had never so many versions.
        """
        at = await self._version(dataset_id, version)
        where = EvalFilter(parent_id=dataset_id, at_version=at)
        page = await self._store.list("dataset_item", where, is_ascending=True)
        return sorted(page.records, key=lambda row: (row.created_at, row.data.get("place", 0)))

    async def _version(self, dataset_id: str, asked: int | None) -> int:
        last = (await self.get(dataset_id)).version
        if asked is not None and asked > last:
            raise NotFoundError(
                f"Dataset {dataset_id!r} has no version {asked}: its last is {last}."
            )
        return last if asked is None else asked

    async def item(
        self, dataset_id: str, item_id: str, *, version: int | None = None
    ) -> EvalRecord:
        """Return an item, as it is or as it was.

        Raises:
            NotFoundError: There is none.
        """
        at = await self._version(dataset_id, version)
        where = EvalFilter(parent_id=dataset_id, subject=item_id, at_version=at)
        page = await self._store.list("dataset_item", where)
        if not page.records:
            raise NotFoundError(f"Item not found: {item_id}", details={"id": item_id})
        return page.records[0]

    async def history(self, dataset_id: str, item_id: str) -> list[EvalRecord]:
        """Return all that an item has been, the newest first."""
        where = EvalFilter(parent_id=dataset_id, subject=item_id)
        return (await self._store.list("dataset_item", where)).records

    async def versions(self, dataset_id: str, *, offset: int, limit: int) -> EvalPage:
        """Return the versions of a dataset, the newest first."""
        where = EvalFilter(parent_id=dataset_id)
        return await self._store.list("dataset_version", where, offset=offset, limit=limit)

    async def put(self, dataset_id: str, items: Mapping[str, dict[str, Json]]) -> list[EvalRecord]:
        """Add items, or change those that are there, as one version; return them."""
        await self._change(dataset_id, Changes(items=items))
        return [await self.item(dataset_id, item_id) for item_id in items]

    async def change_item(
        self, dataset_id: str, item_id: str, fields: Mapping[str, Json]
    ) -> EvalRecord:
        """Change some fields of an item.

        Raises:
            NotFoundError: There is none.
        """

        async def plan() -> Changes:
            known = await self.item(dataset_id, item_id)
            return Changes(items={item_id: _over(known.data, fields)})

        await self._change(dataset_id, plan)
        return await self.item(dataset_id, item_id)

    async def remove(self, dataset_id: str, item_ids: Sequence[str]) -> None:
        """Remove items, as one version. Those that are not there do not matter."""
        await self._change(dataset_id, Changes(removed=item_ids))

    async def purge(self, dataset_id: str, item_id: str) -> None:
        """Remove all that an item has ever been, and what came of it in experiments.

        Raises:
            NotFoundError: There was never such an item.
        """
        if not await self.history(dataset_id, item_id):
            raise NotFoundError(f"Item not found: {item_id}", details={"id": item_id})
        await self.remove(dataset_id, [item_id])
        await self._store.delete("dataset_item", parent_id=dataset_id, subject=item_id)
        experiments = await self._store.list("experiment", EvalFilter(parent_id=dataset_id))
        for experiment in experiments.records:
            await self._store.delete("experiment_result", parent_id=experiment.id, subject=item_id)
            scores = await scores_of(self._store, experiment)
            ids = [one.id for one in scores if one.data.get("entityId") == item_id]
            await self._store.delete("score", ids=ids)

    # -- versions ------------------------------------------------------------------------------

    async def _change(
        self, dataset_id: str, plan: Changes | Callable[[], Awaitable[Changes]]
    ) -> EvalRecord:
        """Change a dataset; what has to be read for it is read anew for each try."""
        for _ in range(_TRIES):
            record = await self.get(dataset_id)
            changes = plan if isinstance(plan, Changes) else await plan()
            written = await self._written(record, changes)
            if not written:
                return record
            guard = EvalGuard("dataset", record.id, record.updated_at)
            if await self._store.save(written, guard=guard):
                return await self.get(dataset_id)
        raise _too_busy(dataset_id)

    async def _written(self, record: EvalRecord, changes: Changes) -> list[EvalRecord]:
        # Each change of a dataset, in whatever it is, is told from the one before by its time.
        now, version = max(now_ms(), record.updated_at + 1), record.version + 1
        known = {str(row.subject): row for row in await self.items(record.id)}
        gone = [known[name] for name in changes.removed if name in known]
        put: list[EvalRecord] = []
        for place, (name, data) in enumerate(changes.items.items()):
            row = known.get(name)
            if row is not None:
                if {**row.data, "place": 0} == {**data, "place": 0}:
                    continue
                gone.append(row)
                place = row.data.get("place", 0)  # noqa: PLW2901 - an item keeps its place
            created = now if row is None else row.created_at
            put.append(_item(record, name, {**data, "place": place}, version, created, now))
        about = _over(record.data, changes.about)
        _check(record.data, about, known, changes)
        if not gone and not put:
            if about == record.data:
                return []
            return [replace(record, data=about, updated_at=now)]
        ended = [replace(row, valid_to=version) for row in gone]
        versions = EvalRecord(
            "dataset_version", f"{record.id}@{version}", parent_id=record.id, version=version
        )
        head = replace(record, data=about, version=version, updated_at=now)
        return [head, *ended, *put, versions]


def _check(
    before: Mapping[str, Json],
    about: Mapping[str, Json],
    known: Mapping[str, EvalRecord],
    changes: Changes,
) -> None:
    """Check what is new against the schemas, and all there is against a schema that is new."""
    items: dict[str, dict[str, Json]] = dict(changes.items)
    if any(before.get(name) != about.get(name) for name in ("inputSchema", "groundTruthSchema")):
        stays = known.keys() - set(changes.removed)
        items = {name: known[name].data for name in known if name in stays} | items
    DatasetSchemas(about).check(items.items())


def _item(
    dataset: EvalRecord, name: str, data: dict[str, Json], version: int, created: int, now: int
) -> EvalRecord:
    return EvalRecord(
        "dataset_item",
        f"{dataset.id}/{name}@{version}",
        data,
        parent_id=dataset.id,
        subject=name,
        resource_id=dataset.resource_id,
        version=version,
        created_at=created,
        updated_at=now,
    )


def _over(data: Mapping[str, Json], fields: Mapping[str, Json]) -> dict[str, Json]:
    """Return data with fields changed; `None` removes one."""
    return {key: value for key, value in {**data, **fields}.items() if value is not None}


def _too_busy(dataset_id: str) -> StorageError:
    return StorageError(
        f"Dataset {dataset_id!r} is changed by others all the time, and {_TRIES} tries to change it "
        "came too late. Try again, or add items in batches."
    )
