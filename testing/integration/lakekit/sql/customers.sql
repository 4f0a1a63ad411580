select
  customer,
  city,
  cast(blocked as boolean) as blocked,
  cast(updated_at as timestamp) as updated_at,
  _source_file,
  _source_sha256,
  _source_row,
  _ingested_at
from bronze.customers
