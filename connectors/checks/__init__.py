"""Measurements of data: tables, files, web addresses, S3 objects. Each is one blocking call that changes nothing."""
