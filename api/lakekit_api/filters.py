"""Filters rows by the parameters of a request. The parameters are checked against the
declared columns.

`carrier=UA` selects the rows whose carrier is UA, and `carrier=UA&carrier=DL` selects
the rows whose carrier is UA or DL. `flights.ge=10` compares values (`gt`, `ge`, `lt`,
`le`). `mean_dep_delay.null=true` selects missing values.

The SQL is generated from the declaration. Values from the request are always bound
parameters.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple
from urllib.parse import parse_qsl, quote

from lakekit.declarations.tables import Column, Table, Type
from lakekit.engines.duckdb.statements import name
from lakekit_api import values
from lakekit_api.errors import InvalidParameterError

COMPARISONS: Mapping[str, str] = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
RESERVED = ("sort", "limit", "after", "version")
CASTS: Mapping[Type, str] = {"date": "DATE", "timestamp": "TIMESTAMP"}
URL_CHARACTERS = "!$%&'()*+,/:;=?@[]"
"""Characters that a query string may contain in addition to letters, digits and `-._~`
(RFC 3986).
"""
MOST_VALUES = 100
MOST_PARAMETERS = 200


@dataclass(frozen=True)
class Filter:
    """A parameter that filters rows: its name, the column, and the operation."""

    parameter: str
    column: Column
    operation: str

    def placeholder(self, value: Any) -> str:
        """Return the SQL placeholder for a value. If the value of a date or timestamp
        column is text, the placeholder contains a cast.
        """
        kind = CASTS.get(self.column.type)
        return f"CAST(? AS {kind})" if kind and isinstance(value, str) else "?"

    @property
    def repeats(self) -> bool:
        return self.operation == "eq"


def filters(table: Table) -> Dict[str, Filter]:
    """Return all filters of a table. The key of a filter is the name of its parameter.
    The parameter for equality is the column's name, or NAME.eq if the API reserves this
    name.
    """
    found = []
    for column in table.columns:
        plain = f"{column.name}.eq" if column.name in RESERVED else column.name
        found.append(Filter(plain, column, "eq"))
        if column.type != "boolean":
            found += [
                Filter(f"{column.name}.{operation}", column, operation)
                for operation in COMPARISONS
            ]
        if not column.required:
            found.append(Filter(f"{column.name}.null", column, "null"))
    return {each.parameter: each for each in found}


def normalize(query: bytes) -> str:
    """Return a query string in ASCII. Bytes that a URL must not contain are escaped."""
    return quote(query, safe=URL_CHARACTERS)


def read_parameters(query: bytes, known: Sequence[str]) -> Dict[str, List[str]]:
    """Return the values of each parameter in a query string. Raises
    InvalidParameterError for a parameter that is not in `known`, and for too many
    parameters.
    """
    try:
        pairs = parse_qsl(
            normalize(query),
            keep_blank_values=True,
            max_num_fields=MOST_PARAMETERS,
        )
    except ValueError:
        raise InvalidParameterError(
            "", f"There are more than {MOST_PARAMETERS} parameters."
        ) from None
    found: Dict[str, List[str]] = {}
    for parameter, text in pairs:
        if parameter not in known:
            nearest = difflib.get_close_matches(parameter[: values.LONGEST], known, n=1)
            hint = f" Did you mean {nearest[0]}?" if nearest else ""
            raise InvalidParameterError(
                parameter[: values.LONGEST], f"This path has no such parameter.{hint}"
            )
        found.setdefault(parameter, []).append(text)
    return found


def once(parameter: str, texts: Sequence[str]) -> str:
    """Return the value of a parameter. Raises InvalidParameterError if the parameter
    occurs more than once.
    """
    if len(texts) > 1:
        raise InvalidParameterError(
            parameter, f"{parameter} occurs {len(texts)} times; send it once."
        )
    return texts[0]


def where(
    known: Mapping[str, Filter], given: Mapping[str, List[str]]
) -> Tuple[List[str], List[Any]]:
    """Return SQL conditions, and the values for the placeholders in the conditions.

    Raises InvalidParameterError for an invalid value.
    """
    conditions: List[str] = []
    bound: List[Any] = []
    for parameter, texts in given.items():
        if parameter not in known:
            continue
        condition = known[parameter]
        column = name(condition.column.name)
        if condition.repeats:
            if len(texts) > MOST_VALUES:
                raise InvalidParameterError(
                    parameter, f"{parameter} occurs more than {MOST_VALUES} times."
                )
            found = [_value(condition, text) for text in texts]
            placeholders = ", ".join(map(condition.placeholder, found))
            conditions.append(f"{column} IN ({placeholders})")
            bound += found
        elif condition.operation == "null":
            text = once(parameter, texts)
            if text not in ("true", "false"):
                raise InvalidParameterError(parameter, f"{parameter} is true or false.")
            conditions.append(f"{column} IS {'' if text == 'true' else 'NOT '}NULL")
        else:
            value = _value(condition, once(parameter, texts))
            comparison = COMPARISONS[condition.operation]
            conditions.append(f"{column} {comparison} {condition.placeholder(value)}")
            bound.append(value)
    return conditions, bound


def _value(condition: Filter, text: str) -> Any:
    if len(text) > values.LONGEST:
        raise InvalidParameterError(
            condition.parameter,
            f"{condition.parameter} is longer than {values.LONGEST} characters.",
        )
    try:
        return values.parse(condition.column.type, text)
    except ValueError as error:
        raise InvalidParameterError(
            condition.parameter, f"{condition.parameter}: the value {error}."
        ) from None
