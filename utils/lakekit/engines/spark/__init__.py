"""The engine that uses Spark and Delta."""
