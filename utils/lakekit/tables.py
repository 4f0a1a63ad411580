"""The old import name of `lakekit.declarations`, for older projects."""

from lakekit import declarations
from lakekit.declarations import *  # noqa: F401, F403 - all that it declares public

__all__ = declarations.__all__
