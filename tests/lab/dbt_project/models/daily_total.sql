select sum(total) as total from {{ ref('orders') }}
