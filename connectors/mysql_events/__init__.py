"""Events of MariaDB and MySQL: their last start is all the server keeps; a log table of one's own tells the rest."""
