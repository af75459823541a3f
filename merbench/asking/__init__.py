"""Language models asked for the answers of a track."""
