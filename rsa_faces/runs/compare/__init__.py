"""The run behind `rsa-faces compare`."""
