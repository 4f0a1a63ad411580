"""The engine on Spark with Delta."""
