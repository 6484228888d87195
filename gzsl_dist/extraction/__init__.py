"""Images and words to features and semantics, by encoders of other packages."""
