"""Architecture search: spaces as data, networks that mix all of their operations, searches, genotypes, and controls."""
