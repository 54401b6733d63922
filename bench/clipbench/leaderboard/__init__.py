"""Tables, plots and the page, all derived from results."""
