"""What differs between two manifests, or between a manifest and its store, and what each difference is due to."""
