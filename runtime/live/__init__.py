"""Streams: live cameras, and videos watched as if they were."""
