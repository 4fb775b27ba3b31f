"""What a layer tells: labels, measurements, traits."""
