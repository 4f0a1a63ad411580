-- One row a plane.
select
  tailnum,
  cast(nullif(year, 'NA') as int) as year,
  nullif(type, 'NA') as type,
  nullif(manufacturer, 'NA') as manufacturer,
  nullif(model, 'NA') as model,
  cast(nullif(engines, 'NA') as int) as engines,
  cast(nullif(seats, 'NA') as int) as seats,
  cast(nullif(speed, 'NA') as int) as speed,
  nullif(engine, 'NA') as engine,
  _source_file,
  _source_sha256,
  _source_row,
  _ingested_at
from bronze.planes
