"""Linear layers on a CPU: the forms that torch offers for one, and which of them is the fastest."""
