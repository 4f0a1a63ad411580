"""The files of a lake, and the logs of its tables."""
