"""Results for readers: tables, plots, and the HTML page that shows every round."""
