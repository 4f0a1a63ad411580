-- The hundred hours with the most scheduled departures from all airports; of two equal hours the earlier comes first.
with hours as (
  select
    time_hour,
    count(*) as flights,
    count(*) filter (where cancelled) as cancelled,
    count(distinct carrier) as carriers,
    count(distinct dest) as destinations,
    avg(dep_delay) as mean_dep_delay
  from silver.flights
  group by time_hour
)
select
  row_number() over (order by flights desc, time_hour) as place,
  time_hour,
  flights,
  cancelled,
  carriers,
  destinations,
  mean_dep_delay
from hours
qualify row_number() over (order by flights desc, time_hour) <= 100
order by place
