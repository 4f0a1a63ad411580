-- One row an airport; where an airport comes twice, its first row in the source stands.
select
  faa,
  nullif(name, 'NA') as name,
  cast(nullif(lat, 'NA') as double) as lat,
  cast(nullif(lon, 'NA') as double) as lon,
  cast(nullif(alt, 'NA') as int) as alt,
  cast(nullif(tz, 'NA') as int) as tz,
  nullif(dst, 'NA') as dst,
  nullif(tzone, 'NA') as tzone
from bronze.airports
qualify row_number() over (partition by faa order by _source_row) = 1
order by faa
