"""cron on hosts reached over SSH, without an agent: one poll reads crontabs, log, wrapper records and clock."""
