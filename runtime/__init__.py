"""How a bundle becomes masks."""
