"""The code of the storage, its plans and its policy."""
