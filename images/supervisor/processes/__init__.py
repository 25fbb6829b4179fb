"""The processes of calls: start, output, end, and what they leave behind."""
