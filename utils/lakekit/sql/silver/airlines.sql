-- One row a carrier; where a carrier comes twice, its first row in the source stands.
select
  carrier,
  nullif(name, 'NA') as name
from bronze.airlines
qualify row_number() over (partition by carrier order by _source_row) = 1
order by carrier
