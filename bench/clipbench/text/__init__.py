"""Text that is safe to show: escaping for terminals, HTML, CSV and XML."""
