"""Acquisitions that certify nothing, for comparison."""
