"""The tools that sessions list, one module a family."""
