"""Where clips, sentences and masks come from."""
