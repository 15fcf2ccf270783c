"""Radio links: path loss and rate laws."""
