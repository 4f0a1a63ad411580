select
  o.order_id,
  o.customer,
  make_date(2024, cast(o.month as int), 1) as month,
  cast(nullif(o.amount, 'NA') as int) as amount,
  cast(o.updated_at as timestamp) as updated_at,
  c.city,
  c.blocked,
  o._source_file,
  o._source_sha256,
  o._source_row,
  o._ingested_at
from bronze.orders o
left join silver.customers c on c.customer = o.customer
