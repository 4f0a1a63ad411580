-- The hundred hours with the most scheduled departures from all airports; of two equal hours the earlier comes first.
select
  row_number() over (order by flights desc, time_hour) as rank,
  time_hour,
  flights,
  cancelled,
  carriers,
  destinations,
  mean_dep_delay
from gold.departures_by_hour
qualify row_number() over (order by flights desc, time_hour) <= 100
order by rank
