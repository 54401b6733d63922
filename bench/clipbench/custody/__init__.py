"""What was done with which data, in a log that shows tampering; and who signed a delivery."""
