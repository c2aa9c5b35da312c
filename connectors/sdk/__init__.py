"""What a connector is written with: the contract, transports, secrets, and behavior that kinds share."""
