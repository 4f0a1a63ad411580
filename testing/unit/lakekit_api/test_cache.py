from __future__ import annotations

from lakekit_api.cache import PageCache


def test_page_is_kept_for_its_snapshot_and_query() -> None:
    cache = PageCache(100)
    cache.put(("s1", b"q"), b"page")
    assert cache.get(("s1", b"q")) == b"page"
    assert cache.get(("s2", b"q")) is None


def test_pages_not_asked_for_the_longest_go_first() -> None:
    cache = PageCache(10)
    for name in (b"a", b"b"):
        cache.put(("s", name), b"12345")
    cache.get(("s", b"a"))
    cache.put(("s", b"c"), b"12345")
    cache.put(("s", b"c"), b"12345")
    assert [cache.get(("s", name)) is not None for name in (b"a", b"b", b"c")] == [
        True,
        False,
        True,
    ]


def test_cache_of_no_size_keeps_nothing() -> None:
    cache = PageCache(0)
    cache.put(("s", b"q"), b"page")
    assert cache.get(("s", b"q")) is None
