"""What can I type? One light file a command; nowhere else is a command line known."""
