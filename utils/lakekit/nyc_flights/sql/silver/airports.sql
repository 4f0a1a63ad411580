-- One row an airport.
select
  faa,
  nullif(name, 'NA') as name,
  cast(nullif(lat, 'NA') as double) as lat,
  cast(nullif(lon, 'NA') as double) as lon,
  cast(nullif(alt, 'NA') as int) as alt,
  cast(nullif(tz, 'NA') as int) as tz,
  nullif(dst, 'NA') as dst,
  nullif(tzone, 'NA') as tzone,
  _source_file,
  _source_sha256,
  _source_row,
  _ingested_at
from bronze.airports
