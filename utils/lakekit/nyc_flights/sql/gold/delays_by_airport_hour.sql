-- Delays in minutes at each airport of departure in each hour, with the weather of that hour where it was recorded.
with hours as (
  select
    time_hour,
    origin,
    count(*) as flights,
    count(*) filter (where cancelled) as cancelled,
    avg(dep_delay) as mean_dep_delay
  from silver.flights
  group by time_hour, origin
)
select
  h.time_hour,
  h.origin,
  h.flights,
  h.cancelled,
  h.mean_dep_delay,
  w.temp,
  w.wind_speed,
  w.wind_gust,
  w.precip,
  w.visib
from hours h
left join silver.weather w on w.origin = h.origin and w.time_hour = h.time_hour
order by h.time_hour, h.origin
