-- What was sold of each item on each day.
select
  ordered_on,
  item,
  count(*) as orders,
  sum(quantity) as pieces,
  sum(quantity * price) as euros
from silver.orders
group by ordered_on, item
