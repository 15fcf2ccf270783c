"""Quality as data: what a split does to the pictures, measured, stored with its provenance, and looked up in plans."""
