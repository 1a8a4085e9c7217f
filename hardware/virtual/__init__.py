"""Virtual robots: MuJoCo behind the vendor's own wire protocols, in a process of its own."""
