"""Generates the parameters, responses and examples of an OpenAPI endpoint from the
declaration of its table.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from lakekit.declarations.tables import Column, Table, Type
from lakekit.engines.patterns import PATTERNS
from lakekit_api import far
from lakekit_api.errors import MEDIA_TYPE
from lakekit_api.filters import MOST_VALUES, Filter
from lakekit_api.pages import LARGEST_VERSION, Paging
from lakekit_api.values import BITS, LONGEST

Json = Dict[str, Any]
EXAMPLES: Mapping[Type, Any] = {
    "string": "EWR",
    "boolean": True,
    "int": 12,
    "bigint": 12,
    "double": 12.5,
    "date": "2013-01-31",
    "timestamp": "2013-01-31T17:00:00Z",
}
ETAG: Json = {
    "description": (
        "Identifies the content of the table's version. Send it as If-None-Match."
    ),
    "schema": {"type": "string"},
}
STALE: Json = {
    "description": (
        "Age in seconds of the served version, if the table cannot be read now."
        " Without this header, the version is the newest."
    ),
    "schema": {"type": "integer", "minimum": 0},
}
REFUSALS: Mapping[int, str] = {
    400: "A parameter is unknown, or its value is invalid.",
    401: "The token is missing, unknown or expired.",
    403: "The token does not allow the table.",
    404: (
        "The lake does not have this table yet, never had this version, or has no page"
        " with this `after`."
    ),
    410: "The version has been removed.",
    414: "The URL of this page or of the next page is too long. Send fewer values.",
    421: "The host in the Host header is not allowed.",
    429: "Too many concurrent requests; Retry-After states when to retry.",
    431: "The request has too many headers, or they are too long.",
    503: "The lake cannot be read now.",
    504: "The query took too long, and was stopped.",
}
PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "parameter": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "request_id"],
}
TEXT: Json = {"type": "string"}
FAR = "A date or instant outside the years 1 to 9999 (ISO 8601, extended years)."
IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "schema": TEXT,
    "description": "The ETag of an earlier response.",
}
UNCHANGED: Json = {
    "description": "The content is still the version of If-None-Match.",
    "headers": {"ETag": ETAG, "Lakekit-Stale": STALE},
}
TABLES_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "tables": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": TEXT,
                    "href": TEXT,
                    "comment": TEXT,
                    "status": {
                        "enum": ["ok", "stale", "missing", "unreadable"],
                        "description": (
                            "stale: the table cannot be read now, so the last loaded"
                            " version is served. missing: the table is not in the lake"
                            " yet. unreadable: no version can be served."
                        ),
                    },
                    "detail": {
                        "type": "string",
                        "description": "The reason for a status other than ok.",
                    },
                    "version": {
                        "type": ["integer", "null"],
                        "description": "null if the status is missing or unreadable.",
                    },
                    "rows": {"type": ["integer", "null"]},
                    "key": {"type": "array", "items": TEXT},
                    "columns": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "name": TEXT,
                                "type": TEXT,
                                "required": {"type": "boolean"},
                                "comment": TEXT,
                            },
                        },
                    },
                },
                "required": [
                    "name",
                    "href",
                    "status",
                    "detail",
                    "version",
                    "rows",
                    "key",
                    "columns",
                ],
            },
        }
    },
    "required": ["tables"],
}


def refusals(*statuses: int) -> Json:
    """Return the OpenAPI descriptions of the error responses, by HTTP status."""
    return {
        str(status): {
            "description": REFUSALS[status],
            "content": {MEDIA_TYPE: {"schema": PROBLEM}},
        }
        for status in statuses
    }


TABLES_OPERATION: Json = {
    "responses": {
        "200": {
            "description": "The tables.",
            "content": {"application/json": {"schema": TABLES_SCHEMA}},
        },
        **refusals(400, 401, 414, 421, 429, 431),
    }
}


def value(column: Column) -> Json:
    """Return the JSON schema of a column's values."""
    kinds: Mapping[Type, Json] = {
        "boolean": {"type": "boolean"},
        "double": {"type": "number"},
        "date": {"type": "string", "format": "date"},
        "timestamp": {"type": "string", "format": "date-time"},
    }
    if column.type in BITS:
        half = 2 ** (BITS[column.type] - 1)
        return {"type": "integer", "minimum": -half, "maximum": half - 1}
    return dict(kinds.get(column.type, TEXT))


def row(table: Table) -> Json:
    """Return the JSON schema of a row."""
    properties = {}
    for column in table.columns:
        schema = value(column)
        if column.type in far.PATTERN:
            schema["anyOf"] = [
                {"format": schema.pop("format")},
                {"pattern": f"^{far.PATTERN[column.type]}$", "description": FAR},
            ]
        # NaN and infinities are null in JSON.
        if not column.required or column.type == "double":
            schema["type"] = [schema["type"], "null"]
        if column.comment:
            schema["description"] = column.comment
        properties[column.name] = schema
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def page_schema(table: Table) -> Json:
    """Return the JSON schema of a page."""
    following = {
        "type": ["string", "null"],
        "description": "The URL of the next page; null on the last page.",
    }
    return {
        "type": "object",
        "properties": {
            "table": {"const": table.name},
            "version": {"type": "integer"},
            "rows": {"type": "array", "items": row(table)},
            "next": following,
        },
        "required": ["table", "version", "rows", "next"],
    }


def page_operation(paging: Paging, path: str) -> Json:
    """Return the OpenAPI parameters and responses of a table's endpoint. FastAPI cannot
    infer them.
    """
    return {
        "parameters": [
            *(_filter(each) for each in paging.filters.values()),
            _sort(paging.table),
            *_place(paging),
            IF_NONE_MATCH,
        ],
        "responses": {
            "200": _page(paging.table, path),
            "304": UNCHANGED,
            **refusals(400, 401, 403, 404, 410, 414, 421, 429, 431, 503, 504),
        },
    }


def _sort(table: Table) -> Json:
    columns = [column.name for column in table.columns]
    schema: Json = {
        "type": "array",
        "items": {"type": "string", "enum": columns + [f"-{name}" for name in columns]},
        "minItems": 1,
    }
    return _parameter(
        "sort",
        "Columns to sort by, separated by commas; -COLUMN sorts in descending order."
        " Equal rows are sorted by the key.",
        schema,
        style="form",
        explode=False,
        example=[f"-{columns[-1]}", columns[0]],
    )


def _place(paging: Paging) -> List[Json]:
    """Return the OpenAPI parameters for a page's length, start and version."""
    limit = {
        "type": "integer",
        "minimum": 1,
        "maximum": paging.max_limit,
        "default": paging.limit,
    }
    version = {"type": "integer", "minimum": 0, "maximum": LARGEST_VERSION}
    return [
        _parameter("limit", "Maximum number of rows on the page.", limit, example=10),
        _parameter(
            "after",
            "The start of the page, copied from the URL `next` of the previous page.",
            dict(TEXT),
        ),
        _parameter(
            "version",
            "The version of the table to read; by default the newest.",
            version,
        ),
    ]


def _page(table: Table, path: str) -> Json:
    """Return the OpenAPI description of a response that contains rows."""
    example = {
        "table": table.name,
        "version": 3,
        "rows": [{column.name: EXAMPLES[column.type] for column in table.columns}],
        "next": f"{path}?limit=1&after=WzMsIj...",
    }
    return {
        "description": "A page of rows.",
        "headers": {
            "ETag": ETAG,
            "Link": {
                "description": (
                    'The URL of the next page: <URL>; rel="next". The last'
                    " page has no such header."
                ),
                "schema": dict(TEXT),
            },
            "Lakekit-Stale": STALE,
        },
        "content": {
            "application/json": {"schema": page_schema(table), "example": example}
        },
    }


def _filter(condition: Filter) -> Json:
    column = condition.column
    if condition.operation == "null":
        description = f"Whether {column.name} is missing."
        return _parameter(
            condition.parameter,
            description,
            {"type": "string", "enum": ["true", "false"]},
        )
    schema = value(column)
    if column.type == "string":
        schema["maxLength"] = LONGEST
    if column.type in ("date", "timestamp"):
        schema["pattern"] = f"^{PATTERNS[column.type]}$"
    words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
    if condition.operation != "eq":
        description = f"{column.name} is {words[condition.operation]} this value."
        return _parameter(
            condition.parameter, description, schema, example=EXAMPLES[column.type]
        )
    description = (
        f"{column.name} is this value, or one of these values. {column.comment}".strip()
    )
    several = {"type": "array", "items": schema, "minItems": 1, "maxItems": MOST_VALUES}
    return _parameter(
        condition.parameter, description, several, example=[EXAMPLES[column.type]]
    )


def _parameter(name: str, description: str, schema: Json, **more: Any) -> Json:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": schema,
        **more,
    }
