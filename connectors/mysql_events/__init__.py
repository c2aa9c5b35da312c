"""Events of MariaDB and MySQL. The server keeps only the last start; an optional log table proves the rest."""
