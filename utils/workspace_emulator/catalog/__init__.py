"""Unity Catalog, only as required by volumes: `/api/2.1/unity-catalog`."""
