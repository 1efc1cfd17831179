"""erofs: we write the image; mkfs.erofs begins it, and compresses where that is asked for."""
