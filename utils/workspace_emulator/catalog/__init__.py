"""Unity Catalog, as far as volumes need it: `/api/2.1/unity-catalog`."""
