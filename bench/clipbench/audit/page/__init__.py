"""The audit's page: a summary for whoever decides, then the evidence, then the commands."""
