"""Errors of Unity Catalog."""

from __future__ import annotations

from ..errors import ApiError


def no_catalog(name: str, known: str) -> ApiError:
    return ApiError(
        404,
        "CATALOG_DOES_NOT_EXIST",
        f"Catalog '{name}' does not exist; the emulator has only '{known}'.",
    )


def no_schema(name: str) -> ApiError:
    return ApiError(404, "SCHEMA_DOES_NOT_EXIST", f"Schema '{name}' does not exist.")


def no_volume(name: str) -> ApiError:
    return ApiError(404, "VOLUME_DOES_NOT_EXIST", f"Volume '{name}' does not exist.")


def schema_exists(name: str) -> ApiError:
    return ApiError(409, "SCHEMA_ALREADY_EXISTS", f"Schema '{name}' already exists.")


def volume_exists(name: str) -> ApiError:
    return ApiError(409, "VOLUME_ALREADY_EXISTS", f"Volume '{name}' already exists.")


def schema_not_empty(name: str) -> ApiError:
    return ApiError(
        400, "SCHEMA_NOT_EMPTY", f"Schema '{name}' is not empty: it has volumes."
    )
