"""For developers only: how the shipped weights and graphs are made. Nothing here runs on a gateway."""
