from __future__ import annotations

import tracemalloc

from lakekit_api.cache import Body, PageCache, weight

PAGE = Body(b"12345")


def test_page_is_kept_for_its_snapshot_and_query() -> None:
    cache = PageCache(10_000)
    cache.put(("s1", b"q"), PAGE)
    assert cache.get(("s1", b"q")) == PAGE
    assert cache.get(("s2", b"q")) is None


def test_pages_not_asked_for_the_longest_go_first() -> None:
    cache = PageCache(2 * weight(("s", b"a"), PAGE))
    for name in (b"a", b"b"):
        cache.put(("s", name), PAGE)
    cache.get(("s", b"a"))
    cache.put(("s", b"c"), PAGE)
    cache.put(("s", b"c"), PAGE)
    assert [cache.get(("s", name)) is not None for name in (b"a", b"b", b"c")] == [
        True,
        False,
        True,
    ]


def test_cache_of_no_size_keeps_nothing() -> None:
    cache = PageCache(0)
    cache.put(("s", b"q"), PAGE)
    assert cache.get(("s", b"q")) is None


def test_small_pages_with_long_queries_stay_in_the_limit_of_memory() -> None:
    cache, limit = PageCache(1 << 20), 1 << 20
    tracemalloc.start()
    for number in range(3000):
        query = f"code={'x' * 2000}{number}".encode()
        cache.put((f"snapshot_{number}", query), Body(bytes(100), f"/rows?{number}"))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < cache.bytes <= limit and used <= limit
    assert cache.get(("snapshot_0", b"code=")) is None


def test_many_tiny_pages_stay_in_the_limit_of_memory() -> None:
    cache, limit = PageCache(1 << 20), 1 << 20
    tracemalloc.start()
    for number in range(10_000):
        cache.put(("snapshot_1", b"limit=%d" % number), Body(b"{}%d" % number))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used <= limit
