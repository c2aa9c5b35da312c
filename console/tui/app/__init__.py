"""The app, navigation between screens, and the start."""
