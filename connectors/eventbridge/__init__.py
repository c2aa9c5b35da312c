"""EventBridge Scheduler: schedules in one region of one account, what they start, and holds of them. It has no runs."""
