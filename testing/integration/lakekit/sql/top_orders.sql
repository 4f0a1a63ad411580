with ranked as (
  select
    row_number() over (order by amount desc, order_id) as place,
    order_id,
    amount
  from silver.orders
)
select
  place,
  order_id,
  amount
from ranked
where place <= 2
