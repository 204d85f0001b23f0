"""Results for people: tables, plots, and the page that shows every round."""
