"""Services: delivery, deadlines kept and missed, risk, review."""
