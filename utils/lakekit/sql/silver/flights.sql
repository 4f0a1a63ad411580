-- Every flight of the source, once: the joined tables have one row a key, and a flight that finds none keeps its own row.
with typed as (
  select
    cast(time_hour as timestamp) as time_hour,
    carrier,
    cast(flight as int) as flight,
    make_date(cast(year as int), cast(month as int), cast(day as int)) as flight_day,
    cast(year as int) as year,
    cast(month as int) as month,
    cast(day as int) as day,
    cast(nullif(hour, 'NA') as int) as hour,
    cast(nullif(minute, 'NA') as int) as minute,
    origin,
    dest,
    nullif(tailnum, 'NA') as tailnum,
    cast(sched_dep_time as int) as sched_dep_time,
    cast(nullif(dep_time, 'NA') as int) as dep_time,
    cast(nullif(dep_delay, 'NA') as int) as dep_delay,
    cast(sched_arr_time as int) as sched_arr_time,
    cast(nullif(arr_time, 'NA') as int) as arr_time,
    cast(nullif(arr_delay, 'NA') as int) as arr_delay,
    cast(nullif(air_time, 'NA') as int) as air_time,
    cast(nullif(distance, 'NA') as int) as distance
  from bronze.flights
)
select
  f.time_hour,
  f.carrier,
  f.flight,
  f.flight_day,
  f.year,
  f.month,
  f.day,
  f.hour,
  f.minute,
  f.origin,
  f.dest,
  f.tailnum,
  f.sched_dep_time,
  f.dep_time,
  f.dep_delay,
  f.sched_arr_time,
  f.arr_time,
  f.arr_delay,
  f.air_time,
  f.distance,
  f.dep_time is null as cancelled,
  airline.name as carrier_name,
  departure.name as origin_name,
  destination.name as dest_name,
  p.year as plane_year,
  p.manufacturer as plane_manufacturer,
  p.model as plane_model,
  p.seats as plane_seats,
  w.temp,
  w.wind_speed,
  w.precip,
  w.visib
from typed f
left join silver.airlines airline on airline.carrier = f.carrier
left join silver.airports departure on departure.faa = f.origin
left join silver.airports destination on destination.faa = f.dest
left join silver.planes p on p.tailnum = f.tailnum
left join silver.weather w on w.origin = f.origin and w.time_hour = f.time_hour
