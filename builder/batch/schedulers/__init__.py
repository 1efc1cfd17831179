"""What runs the jobs of a batch, and can take them back."""
