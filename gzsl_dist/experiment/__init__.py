"""A whole experiment: select on validation classes, train on all seen ones, measure once."""
