"""The run behind `rsa-faces searchlight`."""
