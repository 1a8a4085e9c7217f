"""What makes a point certified: certificates, the safe set, its maximizers and expanders."""
