"""The Files API for Unity Catalog volumes: `/api/2.0/fs`."""
