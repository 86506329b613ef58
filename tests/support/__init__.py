"""What several tests share: samples, networks, runs of the command, disks that are full."""
