"""The same disks, built with other things around: what is built, what varies, and on which other systems."""
