-- Delays in minutes of each carrier on each local day of departure. A cancelled flight has no delay and is counted apart.
select
  flight_day,
  carrier,
  max(carrier_name) as carrier_name,
  count(*) as flights,
  count(*) filter (where cancelled) as cancelled,
  count(*) filter (where dep_delay >= 15) as late_15_min,
  avg(dep_delay) as mean_dep_delay,
  avg(arr_delay) as mean_arr_delay,
  max(dep_delay) as max_dep_delay
from silver.flights
group by flight_day, carrier
order by flight_day, carrier
