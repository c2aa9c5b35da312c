{# env_var is read at each run: `broken` in the project's control file makes it fail #}
{{ config(materialized='table') }}
select id, amount * 2 as total{% if env_var('LAB_DBT_BREAK', 'no') == 'yes' %}, missing_column{% endif %} from {{ ref('stg_orders') }}
