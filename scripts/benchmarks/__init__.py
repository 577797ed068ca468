"""What `scripts/bench` is made of: tools with servers of their own, rows that time them, pages and plots."""
