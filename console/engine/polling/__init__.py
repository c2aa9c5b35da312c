"""Reading schedulers: pollers, listeners for targets that report by themselves, sanitizing of what arrives."""
