"""The run behind `rsa-faces analyse`."""
