"""What makes clusters real: environments, processes, Spark."""
