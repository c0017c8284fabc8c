"""Ways in. Doors translate and know nothing of each other."""
