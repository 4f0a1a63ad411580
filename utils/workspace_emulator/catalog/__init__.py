"""Unity Catalog, only the part that volumes require: `/api/2.1/unity-catalog`."""
