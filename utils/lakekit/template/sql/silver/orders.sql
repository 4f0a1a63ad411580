-- Each order with its types; of two rows of one order the later one wins (Table.latest).
select
  cast(order_id as bigint) as order_id,
  cast(ordered_at as timestamp) as ordered_at,
  cast(cast(ordered_at as timestamp) as date) as ordered_on,
  nullif(customer, 'NA') as customer,
  item,
  cast(quantity as int) as quantity,
  cast(price as double) as price,
  _source_file,
  _source_sha256,
  _source_row,
  _ingested_at
from bronze.orders
