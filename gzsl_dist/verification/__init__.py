"""Checks of a machine or a cluster before it is trusted with a training: `gzsl_dist.verify`."""
