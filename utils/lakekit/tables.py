"""The old name of `lakekit.declarations`, which older projects import."""

from lakekit import declarations
from lakekit.declarations import *  # noqa: F401, F403 - all that it declares public

__all__ = declarations.__all__
