"""DBFS: `/api/2.0/dbfs`."""
