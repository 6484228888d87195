"""The run directory: its files, their names, and what reads and writes them; without torch."""
