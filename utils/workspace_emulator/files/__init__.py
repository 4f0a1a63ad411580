"""The Files API, on Unity Catalog volumes: `/api/2.0/fs`."""
