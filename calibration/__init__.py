"""What ranges the network's tensors have."""
