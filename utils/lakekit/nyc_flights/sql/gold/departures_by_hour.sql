-- Scheduled departures from all airports in each hour, with their mean delay in minutes.
select
  time_hour,
  count(*) as flights,
  count(*) filter (where cancelled) as cancelled,
  count(distinct carrier) as carriers,
  count(distinct dest) as destinations,
  avg(dep_delay) as mean_dep_delay
from silver.flights
group by time_hour
