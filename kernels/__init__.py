"""What is worth a kernel of its own."""
