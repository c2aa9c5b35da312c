"""systemd timers on hosts over SSH."""
