"""The use cases. The only floor where loop, store and net meet."""
