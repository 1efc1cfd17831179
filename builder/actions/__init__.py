"""What the product does, one file per verb; the command line and the Python API both call these."""
