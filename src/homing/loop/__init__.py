"""The nouns and decisions of the closed loop. Pure: `now`, dice, facts and texts come as arguments."""
