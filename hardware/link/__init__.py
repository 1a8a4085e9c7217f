"""The link between a tuner and a guardian: our own small protocol over UDP. The specification is docs/link.md."""
