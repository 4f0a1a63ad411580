-- One row a carrier; lakekit keeps the latest where a carrier comes twice.
select
  carrier,
  nullif(name, 'NA') as name,
  _source_file,
  _source_sha256,
  _source_row,
  _ingested_at
from bronze.airlines
