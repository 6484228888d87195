"""Objectives of the two sides and the loop that alternates them."""
