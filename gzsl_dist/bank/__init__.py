"""Banks of synthetic features in HDF5."""
