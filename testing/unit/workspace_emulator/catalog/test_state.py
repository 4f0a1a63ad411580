from __future__ import annotations

import pytest

from workspace_emulator.catalog.state import CATALOG, Catalog
from workspace_emulator.errors import ApiError
from workspace_emulator.store import Store
from workspace_emulator.tree import Tree


def test_a_volume_is_a_folder_that_goes_with_it(store: Store, tree: Tree) -> None:
    catalog = Catalog(store, tree, "me")
    catalog.create_volume(CATALOG, "default", "v", "MANAGED", "")
    folder = tree.file("Volumes", f"/{CATALOG}/default/v")
    assert folder.is_dir()
    catalog.delete_volume(f"{CATALOG}.default.v")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("catalog", "schema", "name", "kind", "status"),
    [
        ("main", "default", "v", "MANAGED", 404),
        (CATALOG, "none", "v", "MANAGED", 404),
        (CATALOG, "default", "../v", "MANAGED", 400),
        (CATALOG, "default", "v", "EXTERNAL", 501),
    ],
)
def test_what_is_no_volume(
    store: Store,
    tree: Tree,
    catalog: str,
    schema: str,
    name: str,
    kind: str,
    status: int,
) -> None:
    with pytest.raises(ApiError) as refused:
        Catalog(store, tree, "me").create_volume(catalog, schema, name, kind, "")
    assert refused.value.status == status
