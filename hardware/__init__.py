"""The bridge to a physical robot. Uses `robots`, knows no optimizer."""
