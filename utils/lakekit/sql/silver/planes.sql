-- One row a plane; where a tail number comes twice, its first row in the source stands.
select
  tailnum,
  cast(nullif(year, 'NA') as int) as year,
  nullif(type, 'NA') as type,
  nullif(manufacturer, 'NA') as manufacturer,
  nullif(model, 'NA') as model,
  cast(nullif(engines, 'NA') as int) as engines,
  cast(nullif(seats, 'NA') as int) as seats,
  cast(nullif(speed, 'NA') as int) as speed,
  nullif(engine, 'NA') as engine
from bronze.planes
qualify row_number() over (partition by tailnum order by _source_row) = 1
order by tailnum
