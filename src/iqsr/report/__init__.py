"""Results people can look at: tables and runs become pages, panels and plots."""
