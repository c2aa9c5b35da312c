"""The engine: polls schedulers, evaluates the estate, sends notifications and actions. It needs no screen."""
