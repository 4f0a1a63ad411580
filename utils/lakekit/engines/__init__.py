"""What reads, computes and writes: DuckDB with delta-rs, or Spark."""
