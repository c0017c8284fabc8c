"""The verbs. The only floor where loop, store and net meet."""
