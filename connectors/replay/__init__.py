"""A recorded or generated night, replayed behind the same contract as a real scheduler."""
