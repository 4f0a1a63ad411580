"""What runs in a cluster's environment: the standard library and PySpark alone."""
