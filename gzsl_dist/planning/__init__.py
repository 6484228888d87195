"""What a training would hold, send and compute on any number of processes, without running it."""
