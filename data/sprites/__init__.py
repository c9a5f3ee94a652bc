"""Sprites: a synthetic set in A2D Sentences' form. Emoji of A2D's seven classes act over panning panoramas."""
