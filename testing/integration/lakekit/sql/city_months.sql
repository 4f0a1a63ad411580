select
  city,
  month,
  count(*) as orders,
  sum(amount) as amount
from silver.orders
group by city, month
