"""Driver 2: whole overlays in one process, in virtual time, from one seed. The nodes are those that `net/` drives."""
