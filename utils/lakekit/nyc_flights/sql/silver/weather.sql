-- One row an airport and instant. The local hour is no key: it comes twice when the clocks go back.
select
  origin,
  cast(year as int) as year,
  cast(month as int) as month,
  cast(day as int) as day,
  cast(hour as int) as hour,
  cast(nullif(temp, 'NA') as double) as temp,
  cast(nullif(dewp, 'NA') as double) as dewp,
  cast(nullif(humid, 'NA') as double) as humid,
  cast(nullif(wind_dir, 'NA') as int) as wind_dir,
  cast(nullif(wind_speed, 'NA') as double) as wind_speed,
  cast(nullif(wind_gust, 'NA') as double) as wind_gust,
  cast(nullif(precip, 'NA') as double) as precip,
  cast(nullif(pressure, 'NA') as double) as pressure,
  cast(nullif(visib, 'NA') as double) as visib,
  cast(time_hour as timestamp) as time_hour,
  _source_file,
  _source_sha256,
  _source_row,
  _ingested_at
from bronze.weather
