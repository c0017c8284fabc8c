"""Reading mail that came back: what it is, whom it is about, why, and by which rule."""
