"""The connector SDK: the contract, transports, secrets, and behavior that kinds share."""
