select
  c.customer,
  max(c.city) as city,
  count(o.order_id) as orders
from silver.customers c
left join silver.orders o on o.customer = c.customer
group by c.customer
