"""cron on hosts reached by SSH, without an agent: one look per poll brings crontabs, log, wrapper records and clock."""
