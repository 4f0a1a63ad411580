"""The embedded engine: DuckDB and delta-rs."""
