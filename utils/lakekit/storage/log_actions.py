"""Checks the fields of actions in a Delta log against the Delta protocol.

Readers fail at an action that violates the protocol. The function `fault` describes the
invalid field, so that an error about a damaged log can name the reason.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Tuple

Kind = type
FIELDS: Mapping[str, Mapping[str, Kind]] = {
    "protocol": {
        "minReaderVersion": int,
        "minWriterVersion": int,
        "readerFeatures": list,
        "writerFeatures": list,
    },
    "metaData": {
        "id": str,
        "name": str,
        "description": str,
        "format": dict,
        "format.provider": str,
        "format.options": dict,
        "schemaString": str,
        "partitionColumns": list,
        "createdTime": int,
        "configuration": dict,
    },
    "add": {
        "path": str,
        "partitionValues": dict,
        "size": int,
        "modificationTime": int,
        "dataChange": bool,
        "stats": str,
        "tags": dict,
        "deletionVector": dict,
        "baseRowId": int,
        "defaultRowCommitVersion": int,
        "clusteringProvider": str,
    },
    "remove": {
        "path": str,
        "dataChange": bool,
        "deletionTimestamp": int,
        "extendedFileMetadata": bool,
        "partitionValues": dict,
        "size": int,
        "stats": str,
        "tags": dict,
        "deletionVector": dict,
        "baseRowId": int,
        "defaultRowCommitVersion": int,
    },
    "txn": {"appId": str, "version": int, "lastUpdated": int},
    "domainMetadata": {"domain": str, "configuration": str, "removed": bool},
    "commitInfo": {
        "timestamp": int,
        "operation": str,
        "operationParameters": dict,
        "engineInfo": str,
        "userMetadata": str,
        "readVersion": int,
        "isBlindAppend": bool,
        "isolationLevel": str,
        "userId": str,
        "userName": str,
    },
}
"""The type of each field that readers use, by action. A field that is null counts as
missing.
"""
REQUIRED: Mapping[str, Tuple[str, ...]] = {
    "protocol": ("minReaderVersion", "minWriterVersion"),
    "metaData": ("id", "format", "format.provider", "format.options")
    + ("schemaString", "partitionColumns", "configuration"),
    "add": ("path", "partitionValues", "size", "modificationTime", "dataChange"),
    "remove": ("path", "dataChange"),
    "txn": ("appId", "version"),
    "domainMetadata": ("domain", "configuration", "removed"),
}
LEAST = {"size": 0, "minReaderVersion": 1, "minWriterVersion": 1}
"""The smallest allowed value of a field."""
NAMES = {str: "a text", int: "an integer", bool: "true or false"}
NAMES.update({dict: "an object", list: "a list"})
TEXTS = ("tags", "configuration", "partitionValues", "format.options") + (
    "partitionColumns",
    "readerFeatures",
    "writerFeatures",
)
"""The fields whose values or elements must be texts."""
NULLABLE = ("tags", "partitionValues")
"""The fields of `TEXTS` whose elements may also be nulls."""


def fault(action: Any) -> str:
    """Return why readers reject an action of a log, such as `add.size is 'x', not an
    integer`. The result is empty for a valid action. Unknown actions and fields are
    valid.
    """
    if not isinstance(action, dict) or not action:
        return f"an action is {_shown(action)}, not an object with a kind"
    for kind, content in action.items():
        found = _fault(kind, content) if kind in FIELDS else ""
        if found:
            return found
    return ""


def _fault(kind: str, content: Any) -> str:
    if not isinstance(content, dict):
        return f"{kind} is {_shown(content)}, not an object"
    for name, wanted in FIELDS[kind].items():
        value = _value(content, name)
        if value is None:
            if name in REQUIRED.get(kind, ()):
                return f"{kind}.{name} is missing"
        elif not _is(value, wanted):
            return f"{kind}.{name} is {_shown(value)}, not {NAMES[wanted]}"
        elif name in TEXTS and not _has_texts(value, name in NULLABLE):
            return f"{kind}.{name} has a value that is not a text"
    for name, least in LEAST.items():
        if content.get(name) is not None and content[name] < least:
            return f"{kind}.{name} is {content[name]}, less than {least}"
    if kind == "add" and not _is_object(content.get("stats") or "{}"):
        return f"add.stats is {_shown(content['stats'])}, not a JSON object"
    return _schema_fault(content["schemaString"]) if kind == "metaData" else ""


def _value(content: Mapping[str, Any], name: str) -> Any:
    outer, _, inner = name.partition(".")
    value = content.get(outer)
    return value.get(inner) if inner and isinstance(value, dict) else value


def _is(value: Any, wanted: Kind) -> bool:
    return isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)


def _has_texts(value: Any, nullable: bool) -> bool:
    values = value.values() if isinstance(value, dict) else value
    return all(isinstance(each, str) or (nullable and each is None) for each in values)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _schema_fault(text: str) -> str:
    """Return why a schema cannot be parsed; empty if it can be parsed."""
    try:
        schema = json.loads(text)
        for each in schema["fields"]:
            if not (isinstance(each["name"], str) and _is(each["nullable"], bool)):
                raise TypeError(each)
            if not isinstance(each["type"], (str, dict)):
                raise TypeError(each)
    except (ValueError, KeyError, TypeError):
        return f"metaData.schemaString is {_shown(text)}, not a schema"
    return ""


def _shown(value: Any) -> str:
    return repr(value)[:60]
