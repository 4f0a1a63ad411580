"""The engines that read, compute and write tables: DuckDB with delta-rs, or Spark."""
