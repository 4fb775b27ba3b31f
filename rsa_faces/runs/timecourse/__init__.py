"""The run behind `rsa-faces timecourse`."""
