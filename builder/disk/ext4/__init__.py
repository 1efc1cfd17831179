"""ext4: mke2fs makes an empty file system, and we write inodes, directories and content into it."""
