"""The name under which projects made before `lakekit.declarations` import it."""

from lakekit import declarations
from lakekit.declarations import *  # noqa: F401, F403 - all that it declares public

__all__ = declarations.__all__
