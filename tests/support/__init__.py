"""What several tests build or wait for, once."""
