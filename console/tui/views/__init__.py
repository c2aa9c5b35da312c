"""The screens, one module or package for each context; each with its rows and actions."""
