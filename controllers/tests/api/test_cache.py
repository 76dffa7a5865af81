"""The copy of what the API server has: only newer states replace older ones, whichever way they come."""

from __future__ import annotations

from typing import Any

import pytest
from lead_controller.apiserver import HTTP_ROUTE
from lead_controller.watches import Cache


def _item(version: int, name: str = "route") -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


@pytest.fixture
def changes() -> list[None]:
    """Count how often the cache says that it changed."""
    return []


@pytest.fixture
def cache(changes: list[None]) -> Cache:
    """Return a cache that has listed one object, at resourceVersion 5, in a list of 7."""
    cache = Cache(HTTP_ROUTE, {}, lambda: changes.append(None))
    assert not cache.synced
    cache.replace([_item(5)], "7")
    assert cache.synced
    changes.clear()
    return cache


@pytest.mark.parametrize(("version", "known"), [(4, 5), (5, 5), (6, 6)])
def test_an_older_state_does_not_replace_a_newer_one(cache: Cache, version: int, known: int) -> None:
    cache.put(_item(version))
    assert cache.objects() == [_item(known)]


@pytest.mark.parametrize(("version", "left"), [(4, 1), (5, 0), (8, 0)])
def test_an_old_deletion_does_not_remove_what_came_since(cache: Cache, version: int, left: int) -> None:
    cache.remove(_item(version))
    assert len(cache.objects()) == left


def test_what_was_written_while_a_list_was_made_stays(cache: Cache) -> None:
    cache.put(_item(9))
    cache.put(_item(10, "new"))
    cache.replace([_item(5)], "8")
    assert cache.objects() == [_item(10, "new"), _item(9)]


def test_a_list_forgets_what_is_gone(cache: Cache) -> None:
    cache.replace([], "8")
    assert cache.objects() == []


def test_it_speaks_up_when_something_is_different_and_only_then(cache: Cache, changes: list[None]) -> None:
    cache.put(_item(5))
    cache.put(_item(4))
    cache.remove(_item(4))
    cache.replace([_item(5)], "9")
    assert changes == []
    cache.put(_item(6))
    assert len(changes) == 1
    cache.replace([], "10")
    assert len(changes) == 2


def test_an_empty_first_list_is_news_too() -> None:
    changes: list[None] = []
    Cache(HTTP_ROUTE, {}, lambda: changes.append(None)).replace([], "1")
    assert len(changes) == 1
