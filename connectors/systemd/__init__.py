"""systemd timers on hosts reached over SSH."""
