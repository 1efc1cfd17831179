"""`docker://`: an image in a registry, kept in the image store on its way."""
