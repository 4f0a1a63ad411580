"""Errors of the libraries API. If a library cannot be installed, the API does not
return an error. The library gets the status FAILED.
"""

from __future__ import annotations

from ..errors import ApiError


def not_a_library() -> ApiError:
    return ApiError(
        400,
        "INVALID_PARAMETER_VALUE",
        "A library must have exactly one of: whl, pypi, requirements",
    )


DBFS_ROOT = (
    "Library installation from the DBFS root is not supported on Databricks Runtime"
    " 15.1 and above. Put the file on a Unity Catalog volume (/Volumes/...) or into the"
    " workspace (/Workspace/...)."
)
