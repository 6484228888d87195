"""Methods without networks, which a generator must beat: closed forms in the same harness."""
