"""What tar and its compressions are: byte streams in, entries out, and no knowledge of images."""
