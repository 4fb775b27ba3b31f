"""Images and what can be trusted of them: robustness, confidence, outliers."""
