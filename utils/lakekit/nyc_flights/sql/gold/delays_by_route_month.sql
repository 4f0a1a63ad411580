-- Delays and time in the air, in minutes, of each route in each month of local departure.
select
  year,
  month,
  origin,
  dest,
  max(dest_name) as dest_name,
  count(*) as flights,
  count(*) filter (where cancelled) as cancelled,
  count(*) filter (where dep_delay >= 15) as late_15_min,
  avg(dep_delay) as mean_dep_delay,
  avg(arr_delay) as mean_arr_delay,
  avg(air_time) as mean_air_time
from silver.flights
group by year, month, origin, dest
order by year, month, origin, dest
