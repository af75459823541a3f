"""Features of texts and clips: what an extractor is, the shipped ones, and the run that extracts a corpus."""
