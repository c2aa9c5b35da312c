"""What corrects the simulation's own P(late): one's own earlier forecasts, and what many estates taught."""
