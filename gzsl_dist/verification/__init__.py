"""Checks that a job computes, communicates and stores what training relies on."""
