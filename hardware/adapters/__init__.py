"""A user's own locomotion controller behind the guardian: its commands by datagram, its gains by a port."""
