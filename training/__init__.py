"""How the reference network learns."""
