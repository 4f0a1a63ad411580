"""Programs that run in a cluster's environment. These programs use only the standard
library and PySpark.
"""
